"""The evaluator of a program on Ray: returns of sampled episodes, and exact values in small games."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.exact_evaluation import make_exact_evaluation
from acme_psro.agent_runs.export import make_core
from acme_psro.agent_runs.program.game_batches import FiniteGames
from acme_psro.agent_runs.ray_program.actor import Policy
from acme_psro.agent_runs.ray_program.messages import Leaves
from acme_psro.agent_runs.ray_program.travelling import PackedOpponents, make_games, unpacked
from agents.core import Observation

# Random stream of evaluations.
_STREAM = 0xE7A1
# Most episodes that are played side by side.
_MOST_GAMES = 100


class Evaluator:
    """Evaluations of a run, to be made as a Ray actor.

    Args:
      config: configuration of the run.
      opponents: the run's opponents, or None if they play uniformly.
    """

    def __init__(self, config: AgentRunConfig, opponents: PackedOpponents | None) -> None:
        self._config, self._opponents = config, opponents

    @functools.cached_property
    def _evaluation(self) -> Callable[[Leaves], dict[str, float]]:
        """The function that evaluates.

        It is made at the first evaluation, because learner and actors need the processor at the start.
        """
        return make_evaluation(self._config, self._opponents)

    def evaluate(self, variables: Leaves) -> dict[str, float]:
        """Returns the columns of `evaluation.csv` that describe a policy with these variables."""
        return self._evaluation(variables)


def make_evaluation(
    config: AgentRunConfig, opponents: PackedOpponents | None
) -> Callable[[Leaves], dict[str, float]]:
    """Makes the function from the leaves of variables to the columns that describe their policy.

    Args:
      config: configuration of the run.
      opponents: the run's opponents, or None if they play uniformly.
    """
    seeds = np.random.SeedSequence([config.seed, _STREAM]).generate_state(2)
    episodes, core = config.evaluation_episodes, make_core(config)
    games = make_games(config, opponents, int(seeds[0]), min(episodes, _MOST_GAMES), trembling=False)
    policy = Policy(core, jax.random.PRNGKey(seeds[1]), is_learning=False)
    like = jax.eval_shape(lambda key: core.variables(core.init(key)), jax.random.PRNGKey(0))
    form = jax.tree.structure(like)
    with unpacked(config, opponents) as here:
        evaluate_exactly = make_exact_evaluation(here, core)

    def evaluate(variables: Leaves) -> dict[str, float]:
        """Evaluates the policy with these variables."""
        policy.use(variables)
        row = play_episodes(games, policy.act, episodes)
        if evaluate_exactly is not None:
            value = evaluate_exactly(jax.tree.unflatten(form, variables))
            row |= {"exact_value": value.policy, "best_response_value": value.best_response}
        return row

    return evaluate


def play_episodes(
    games: FiniteGames, act: Callable[[Observation], np.ndarray], episodes: int
) -> dict[str, float]:
    """Plays episodes side by side, without learning.

    Every game plays a fixed number of episodes, because the first episodes to end would be the short ones.

    Args:
      games: the games, `E` of them.
      act: observations `[E, ..]` -> actions `[E]`.
      episodes: number of episodes, at least 1.

    Returns:
      The mean return, its standard error (NaN for a single episode), the mean length in decisions, and the
      number of episodes.
    """
    returns, lengths = list[float](), list[int]()
    while len(returns) < episodes:
        found = _play_one_each(games, act)
        returns += found[0][: episodes - len(returns)]
        lengths += found[1][: episodes - len(lengths)]
    error = np.std(returns, ddof=1) / math.sqrt(episodes) if episodes > 1 else math.nan
    return {
        "episode_return": float(np.mean(returns)),
        "episode_return_stderr": float(error),
        "episode_length": float(np.mean(lengths)),
        "episodes": episodes,
    }


def _play_one_each(games: FiniteGames, act: Callable[[Observation], np.ndarray]) -> tuple[list[Any], ...]:
    """Plays one episode in each game, and returns their returns and their lengths."""
    observation = games.reset()
    returns, lengths = np.zeros(games.num_games), np.zeros(games.num_games, np.int64)
    runs = np.ones(games.num_games, bool)
    while runs.any():
        step = games.step(act(observation))
        returns[runs] += step.reward[runs]
        lengths[runs] += 1
        runs &= ~step.last
        observation = step.observation
    return returns.tolist(), lengths.tolist()
