"""Ways to begin best responses, measured on the questions of one exact run.

All ways answer the same questions in the same order and from the same games, so that only the first
parameters and the agent's settings differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.oracles.asking import answer
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.experience import observe
from acme_psro.oracles.device.keeping import KeepingTrainer
from acme_psro.oracles.device.lanes import LaneProgram, make_program
from acme_psro.oracles.device.population_start import PopulationStart
from acme_psro.oracles.device.trainers import PlayingTrainer, Question, make_question
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_agent, make_member
from acme_psro.psro import loop
from acme_psro.psro.registry import Parts, get_loop
from acme_psro.solvers import get_solver
from agents.core import AgentCore, Joining, Left
from experiments.benchmarks.shared.many_responses import AGENT, make_opponent, relative_gaps

FRESH, POPULATION, WHOLE = "fresh", "population", "whole"
_TOLERANCE = 1e-7

Task = BestResponseTask[Policy, np.ndarray]
Tasks = Sequence[Task]


class Way(NamedTuple):
    """A way to begin responses.

    Attributes:
      begins: `FRESH`; `POPULATION`, as `--warm_start=population` does; or `WHOLE`, with all parameters of the
        response before.
      settings: the agent's settings.
    """

    begins: str
    settings: dict[str, Any]


def record_tasks(tree: GameTree, name: str, iterations: int) -> list[Tasks]:
    """Returns the tasks of an exact run of a loop, by iteration; fewer if it converges."""
    meta_game, oracle = ExactMetaGame(tree), exact.make_oracle(tree)
    made = get_loop(name).make(Parts(tree, meta_game, get_solver("nash"), _TOLERANCE))
    first = loop.initialise(meta_game, made)
    rest = loop.run(
        first,
        0,
        iterations - 1,
        oracle=oracle,
        meta_game=meta_game,
        loop=made,
        converged=lambda state: False,
        is_repeatable=True,
    )
    return [made.tasks(state) for state in (first, *rest)]


def take_whole(core: AgentCore) -> AgentCore:
    """Returns the agent with members that begin with all parameters of the last one, and have none alone."""

    def leave(state: Any) -> Left:
        return Left((state.policy, state.critic), jnp.zeros(0))

    def join(key: jax.Array, left: Left) -> Any:
        policy, critic = left.network
        fresh = core.init(key)
        return fresh._replace(policy=policy, target_policy=policy, critic=critic, target_critic=critic)

    return core._replace(joining=Joining(leave, join))


class Side:
    """Best responses that begin in one way; compiled at the first call.

    Args:
      tree: the game.
      way: how responses begin.
      device: the budget of a response.
    """

    def __init__(self, tree: GameTree, way: Way, device: DeviceConfig) -> None:
        self._tree, self._device, self._begins = tree, device, way.begins
        self._game = make_arrays(tree)
        config = PSROConfig(tree.game_string, agent=AGENT, agent_settings=way.settings)
        make = (make_member if way.begins == POPULATION else make_agent)(config)
        example = observe(self._game, jnp.zeros(1, jnp.int32), jnp.zeros((1, 0)))
        core = make(example, tree.num_actions, device.updates)
        self._core = take_whole(core) if way.begins == WHOLE else core
        self._program: LaneProgram | None = None

    def gaps(self, recorded: Sequence[Tasks], seed: int) -> np.ndarray:
        """Answers all tasks in their order.

        Returns:
          `[tasks, players, snapshots]`, the relative gap of the best snapshot so far; NaN if an exact
          response gains nothing.
        """
        make = KeepingTrainer if self._device.games_per_response else PlayingTrainer
        trainer = make(self._tree, self._game, self._core, self._device)
        if self._program is None:
            self._program = make_program(trainer.train_lane)
        population = None if self._begins == FRESH else PopulationStart(self._core)
        gaps = []
        for iteration, tasks in enumerate(recorded):
            questions = [self._ask(task, population) for task in tasks]
            key = jax.random.wrap_key_data(jnp.asarray(loop.iteration_key(seed, iteration)))
            attempts = answer(trainer(key, questions, 0), self._program)
            if population is not None:
                population.add(tasks, [attempt.left for attempt in attempts])
            answers = zip(questions, attempts, strict=True)
            gaps.append([_gaps(self._tree, question, attempt.probs) for question, attempt in answers])
        return np.asarray(gaps)

    def _ask(self, task: Task, population: PopulationStart | None) -> Question:
        return make_question(self._tree, task, None if population is None else population.start(task))


def _gaps(tree: GameTree, question: Question, probs: np.ndarray) -> np.ndarray:
    opponent = make_opponent(tree, question.player, question.plan)
    if opponent.best_gain <= _TOLERANCE:
        return np.full(len(probs), np.nan)
    return relative_gaps(tree, question.player, [opponent], probs[:, None])[:, 0]


class Steps(NamedTuple):
    """Gradient steps to a gap, over all responses but the first: infinity for those that never reach it.

    Attributes:
      quartiles: the lower quartile, the median and the upper quartile.
      reached: the share of responses that reach it.
    """

    quartiles: tuple[float, float, float]
    reached: float


def count_steps(gaps: np.ndarray, updates: int, gap: float) -> Steps:
    """Returns the gradient steps to a gap.

    Args:
      gaps: `[seeds, tasks, players, snapshots]`, evenly spaced through training, falling; NaN if there is
        nothing to gain.
      updates: gradient steps of a response.
      gap: the gap.
    """
    # The first response of each player has nothing to begin in.
    later = gaps[:, 1:].reshape(-1, gaps.shape[-1])
    there = later[~np.isnan(later).any(axis=1)] <= gap
    reached = there.any(axis=1)
    steps = np.where(reached, (there.argmax(axis=1) + 1) * updates / gaps.shape[-1], np.inf)
    # Quartiles are values that occur: there is nothing between a number and infinity.
    low, middle, high = np.quantile(steps, (0.25, 0.5, 0.75), method="higher")
    return Steps((float(low), float(middle), float(high)), float(reached.mean()))
