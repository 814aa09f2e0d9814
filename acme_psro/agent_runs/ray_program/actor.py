"""An actor of a program on Ray: many games that are stepped together, with one call of the policy for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import ray

from acme_psro.agent_runs.agent_settings import make_replay
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.export import make_core
from acme_psro.agent_runs.program.game_batches import FiniteGames
from acme_psro.agent_runs.ray_program.messages import Experience, Leaves
from acme_psro.agent_runs.ray_program.travelling import PackedOpponents, make_games
from agents.core import AgentCore, Observation
from agents.episode_statistics import EpisodeStatistics

# Random stream of the actors.
_STREAM = 0xAC7


class Actor:
    """Games of one actor of a run, to be made as a Ray actor.

    Args:
      config: configuration of the run.
      number: number of the actor, from 0 on.
      attempt: how often the actor was replaced before. Each has random numbers of its own.
      opponents: the run's opponents, or None if they play uniformly.
    """

    def __init__(
        self, config: AgentRunConfig, number: int, attempt: int, opponents: PackedOpponents | None
    ) -> None:
        self._config, self._number, self._attempt = config, number, attempt
        self._opponents = opponents

    def run(self, learner: Any) -> None:
        """Acts until the learner says that the run has ended.

        Args:
          learner: the handle of the learner's actor.

        Raises:
          ValueError: the opponents are not of the run's game.
          NonFiniteError: a reward or an observation is NaN or infinite.
        """
        config = self._config
        seeds = np.random.SeedSequence([config.seed, _STREAM, self._number, self._attempt]).generate_state(2)
        games = make_games(config, self._opponents, int(seeds[0]), config.games_per_actor, trembling=True)
        policy = Policy(make_core(config), jax.random.PRNGKey(seeds[1]), is_learning=True)
        policy.use(ray.get(learner.variables.remote()))
        # As often as other actors ask for variables, so that a message has the decisions of one version.
        steps = make_replay(config).variable_update_period
        version, sent = 0, None
        for experience in play(games, policy.act, steps):
            # One message is under way while the next one is played, so that acting and learning overlap, and
            # no actor runs further ahead than that.
            if sent is not None:
                answer = ray.get(sent)
                if answer.has_ended:
                    return
                version = answer.version
                if answer.variables is not None:
                    policy.use(ray.get(answer.variables[0]))
            sent = learner.add.remote(self._number, experience, version)


class Policy:
    """Policy of an agent for many games, compiled as one call.

    Args:
      core: the agent.
      random_key: key from which the keys of all steps are split.
      is_learning: True to act with exploration, False to act as in evaluations.
    """

    def __init__(self, core: AgentCore, random_key: jax.Array, is_learning: bool) -> None:
        choose = core.act if is_learning else core.perform
        like = jax.eval_shape(lambda key: core.variables(core.init(key)), random_key)

        def act(leaves: Any, key: jax.Array, observation: Observation) -> tuple[jax.Array, jax.Array]:
            # The split is inside the jitted function, so that a step needs one call and not two.
            key, use = jax.random.split(key)
            return choose(jax.tree.unflatten(jax.tree.structure(like), leaves), use, observation), key

        self._act = jax.jit(act)
        self._key = random_key
        self._leaves: Any = None

    def use(self, leaves: Leaves) -> None:
        """Acts with these variables from now on."""
        self._leaves = jax.device_put(leaves)

    def act(self, observation: Observation) -> np.ndarray:
        """Returns actions `[E]` for observations `[E, ..]`."""
        actions, self._key = self._act(self._leaves, self._key, observation)
        return np.asarray(actions)


def play(games: FiniteGames, act: Callable[[Observation], np.ndarray], steps: int) -> Any:
    """Plays games without an end and yields the experience of every so many steps.

    Args:
      games: the games, `E` of them.
      act: observations `[E, ..]` -> actions `[E]`.
      steps: number of steps of all games in a message, `T`.
    """
    observation = games.reset()
    statistics = EpisodeStatistics(games.num_games)
    while True:
        seen, played, episodes = [observation], [], []
        for _ in range(steps):
            actions = act(observation)
            step = games.step(actions)
            observation = step.observation
            seen.append(observation)
            played.append((np.asarray(actions, np.int32), step.reward, step.last))
            episodes += statistics.add(step.reward, step.last)
        action, reward, last = (np.stack(column) for column in zip(*played, strict=True))
        yield Experience(
            np.stack([np.asarray(each.info_state, np.float32) for each in seen]),
            np.stack([np.asarray(each.legal_actions, bool) for each in seen]),
            action,
            reward,
            last,
            episodes,
        )
