"""Best responses by reinforcement learning on the device.

One compiled program trains all players' responses of an iteration side by side, each in a lane (`lanes.py`).
If some responses are weak, all lanes train further ones for these players. Every response's exact gain is
measured, and the best response is taken. Agents learn while they play (`training.py`), from games that are
kept (`keeping.py`), or on policy from whole rollouts.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.evaluation import deviations
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.oracles.asking import Results
from acme_psro.oracles.base import NO_MEMORY, BestResponseTask, Memory, Response
from acme_psro.oracles.device import diversity
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.experience import observe
from acme_psro.oracles.device.keeping import KeepingTrainer
from acme_psro.oracles.device.kept_games import KeptGames
from acme_psro.oracles.device.lane_oracle import LaneOracle
from acme_psro.oracles.device.lanes import Lane
from acme_psro.oracles.device.on_policy import RolloutAgent, RolloutTrainer
from acme_psro.oracles.device.population_start import PopulationStart
from acme_psro.oracles.device.trainers import Attempt, PlayingTrainer, Question, Trainer, make_question
from acme_psro.oracles.device.training import MakeAgent as MakeAgent
from acme_psro.policies.tabular import Policy, make_policy
from agents.core import Left


class Worth(NamedTuple):
    """The worth of a policy as a response; the larger one is the better response.

    Attributes:
      gains: True if it gains, without which it is not kept however different it is.
      value: its gain, and the worth of its difference from the population, in utility units.
    """

    gains: bool
    value: float


_NOTHING = Worth(False, -math.inf)


class DeviceOracle(LaneOracle[Policy]):
    """An oracle of learned best responses on a compiled game.

    A response is the snapshot of the agent that gains most exactly. It plays the agent's most probable
    actions, or the agent's probabilities if `DeviceConfig.stochastic_responses`.

    Args:
      tree: the compiled game.
      agent: makes the agent that learns.
      config: the budget of a response.
      tolerance: a response is kept if it gains more than this over the mixture. Otherwise it is dropped and
        the population stays as it is. No further responses are trained for a player who cannot gain more.
      warm_start: True if responses begin in the population, see `population_start.py`. Their extensions begin
        in fresh networks all the same.

    Raises:
      ValueError: `warm_start`, and the agent is none that members can join.
    """

    def __init__(
        self,
        tree: GameTree,
        agent: MakeAgent | RolloutAgent,
        config: DeviceConfig,
        tolerance: float = 1e-9,
        warm_start: bool = False,
    ) -> None:
        if config.self_play:
            raise ValueError(
                "device.self_play needs a game that compiles to a graph alone, and this one is a tree: set "
                f"it to 0, or --max_nodes below its {tree.num_nodes:,} nodes."
            )
        self._tree, self._config, self._tolerance = tree, config, tolerance
        self._population: PopulationStart | None = None
        self._keeping: KeepingTrainer | None = None
        if isinstance(agent, RolloutAgent):
            if warm_start:
                raise ValueError("a response that is learned on policy cannot start from the population.")
            self._train: Trainer = RolloutTrainer(tree, agent, config)
        else:
            game = make_arrays(tree)
            example = observe(game, jnp.zeros(1, jnp.int32), jnp.zeros((1, 0)))
            core = agent(example, tree.num_actions, config.updates)
            if warm_start:
                self._population = PopulationStart(core)
            if config.games_per_response:
                self._keeping = KeepingTrainer(tree, game, core, config)
            self._train = self._keeping or PlayingTrainer(tree, game, core, config)
        self.lanes_alone = config.lanes_alone
        # Lanes in a call: with another number the program would be compiled again.
        self._lanes = 0
        # How often the number of games has been doubled for good.
        self._doublings = 0

    @property
    def population(self) -> PopulationStart | None:
        """Returns the networks in which responses begin; None if they begin in fresh ones."""
        return self._population

    def train_lane(self, lane: Lane) -> Any:
        return self._train.train_lane(lane)

    def ask(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[Policy, np.ndarray]]
    ) -> Generator[Lane, Results, list[Response[Policy]]]:
        next_key = jax.random.wrap_key_data(jnp.asarray(key))
        population = self._population
        hulls = [
            diversity.hull_points(self._tree, task, key) if self._config.diversity else None for task in tasks
        ]
        questions = [
            make_question(self._tree, task, population.start(task) if population is not None else None, hull)
            for task, hull in zip(tasks, hulls, strict=True)
        ]
        left: list[Left | None] = [None] * len(tasks)
        # Every snapshot gains more than the results before any training.
        responses = [
            Response[Policy](None, -np.inf, deviations.best_gain(self._tree, question.deviation))
            for question in questions
        ]
        worth = [_NOTHING] * len(tasks)
        weak, doublings = list(range(len(tasks))), self._doublings
        self._lanes = max(self._lanes, len(tasks))
        for extension in range(1 + self._config.max_extensions):
            # Always as many lanes. Weak players fill them in turn, each lane with its own key.
            num = self._lanes * self._config.seeds_per_response
            lanes = list(itertools.islice(itertools.cycle(weak), num))
            train_key, next_key = jax.random.split(next_key)
            asked = [questions[task] for task in lanes]
            if extension > 0 and population is not None:
                asked = [question._replace(start=population.start(None)) for question in asked]
            attempts = yield from self._train(train_key, asked, doublings + extension)
            for task, attempt in zip(lanes, attempts, strict=True):
                responses[task], best = self._improve(questions[task], responses[task], worth[task], attempt)
                if best > worth[task]:
                    left[task] = attempt.left
                worth[task] = best
            weak = [task for task in weak if self._is_weak(responses[task])]
            if extension == 0 and len(weak) == len(tasks):
                self._doublings += 1
            if not weak:
                break
        if population is not None:
            population.add(tasks, left)
        return responses

    def _is_weak(self, response: Response[Policy]) -> bool:
        """Returns True if another training may find a response that gains clearly more."""
        can_gain = response.best_gain > self._tolerance
        return can_gain and response.gain < self._config.enough * response.best_gain

    def _improve(
        self, question: Question, response: Response[Policy], worth: Worth, attempt: Attempt
    ) -> tuple[Response[Policy], Worth]:
        """Returns the response after one more training: the best snapshot, and all others that gain.

        Args:
          question: the response that is sought.
          response: the best one so far.
          worth: what it is worth; the second part of the result is the same of the response that is returned.
          attempt: the training.
        """
        tree, player = self._tree, question.player
        rows = tree.infosets_of(player)
        legal = tree.legal_actions[rows]
        tables = settle(attempt.probs[:, rows], legal, self._config.stochastic_responses)
        # Snapshots of a policy that has settled are the same.
        different = np.unique(tables, axis=0, return_index=True)[1]
        policies = [make_policy(tree, player, tables[index]) for index in sorted(different)]
        gains = deviations.gains(tree, question.deviation, policies)
        # Work counts even if its response is not the one that is kept.
        response = dataclasses.replace(response, counts=response.counts + attempt.counts)
        for policy, gain in zip(policies, gains, strict=True):
            kept = policy if gain > self._tolerance else None
            own = Worth(kept is not None, gain + self._bonus(question, policy))
            if own > worth:
                worth = own
                others = _added(response.others, response.policy)
                response = dataclasses.replace(
                    response, gain=gain, policy=kept, metrics=attempt.metrics, others=others
                )
            elif response.policy is not None and not _same(response.policy, policy):
                response = dataclasses.replace(response, others=_added(response.others, kept))
        return response, worth

    def _bonus(self, question: Question, policy: Policy) -> float:
        """Returns the worth of a policy's difference from its population, in utility units."""
        if question.hull is None:
            return 0.0
        found = diversity.distance(self._tree, question.deviation, policy, question.hull)
        return self._config.diversity * self._tree.utility_scale * found

    def memory(self) -> Memory:
        """Returns the kept games, if games are kept, how often their number was doubled, and the networks."""
        networks = NO_MEMORY if self._population is None else self._population.memory()
        if self._keeping is None:
            return networks
        visits, expected = self._keeping.games
        doublings = np.array(self._doublings)
        return {"visits": visits, "expected": expected, "doublings": doublings, **networks}

    def remember(self, memory: Memory) -> None:
        """Makes the oracle go on as if it had not stopped.

        Raises:
          ValueError: the memory is of another game or agent.
        """
        if self._population is not None:
            self._population.remember(memory)
        if self._keeping is None:
            return
        games = KeptGames(memory["visits"], memory["expected"])
        if any(values.shape != (self._tree.num_nodes,) for values in games):
            raise ValueError(f"the kept games are of another game than {self._tree.game_string}.")
        self._keeping.games, self._doublings = games, int(memory["doublings"])


def settle(probs: np.ndarray, legal: np.ndarray, is_stochastic: bool = False) -> np.ndarray:
    """Returns the policies that snapshots `[n, rows, A]` become: their most probable actions, or as they are.

    Args:
      probs: probabilities of actions, summing to 1 up to rounding.
      legal: `[rows, A]` bool.
      is_stochastic: see `DeviceConfig.stochastic_responses`.

    Returns:
      `[n, rows, A]` float64, exactly 0 on illegal actions.
    """
    if is_stochastic:
        kept = np.where(legal, np.asarray(probs, np.float64), 0.0)
        return kept / kept.sum(axis=-1, keepdims=True)
    # Illegal actions have probability 0, and so may legal ones: -1 keeps argmax on legal actions.
    return np.eye(legal.shape[-1])[np.where(legal, probs, -1.0).argmax(axis=-1)]


def _added(policies: tuple[Policy, ...], policy: Policy | None) -> tuple[Policy, ...]:
    """Returns the policies with one more, unless it is None or one of them."""
    if policy is None or any(_same(policy, other) for other in policies):
        return policies
    return (*policies, policy)


def _same(policy: Policy, other: Policy) -> bool:
    return np.array_equal(policy.table, other.table)


def make_oracle(
    tree: GameTree,
    agent: MakeAgent | RolloutAgent,
    config: DeviceConfig,
    tolerance: float = 1e-9,
    warm_start: bool = False,
) -> DeviceOracle:
    """Returns an oracle of learned best responses on a compiled game, see `DeviceOracle`."""
    return DeviceOracle(tree, agent, config, tolerance, warm_start)
