"""Evaluation of an agent during training: returns of sampled episodes, and exact values in small games."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import jax
import numpy as np
from acme import core
from acme.utils import counting, loggers

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.exact_evaluation import make_exact_evaluation as make_exact_evaluation
from acme_psro.agent_runs.parts import Agent, make_run_environment

# Random stream of the evaluation, see `make_run_environment`. Actors use smaller numbers.
_EVALUATION = 1_000_000

# Row of `evaluation.csv`: values by name of the column.
Row = dict[str, float]


def make_evaluation(
    config: AgentRunConfig, agent: Agent, spec: acme.specs.EnvironmentSpec, source: core.VariableSource
) -> Callable[[], Row]:
    """Makes the function that evaluates the newest policy.

    Args:
      config: configuration of the run.
      agent: the agent that learns.
      spec: specification of the environment.
      source: source of the newest variables, for example the learner.

    Returns:
      A function that plays the configured number of episodes in evaluation mode and returns the row of
      `play`. In small games the row also has the exact values, see `ExactValue`.
    """
    environment = make_run_environment(config, _EVALUATION)
    networks = agent.network_factory(spec)
    # With the period of the actors, most calls of `update` would not fetch the newest variables.
    builder = agent.builder.with_replay(dataclasses.replace(agent.builder.replay, variable_update_period=1))
    policy = builder.make_policy(networks, spec, evaluation=True)
    key = jax.random.PRNGKey(np.random.SeedSequence([config.seed, _EVALUATION, 1]).generate_state(1)[0])
    actor = builder.make_actor(key, policy, spec, source)
    evaluate_exactly = make_exact_evaluation(config, agent.make_core(networks))

    def evaluate() -> Row:
        """Evaluates the newest policy."""
        actor.update(wait=True)
        row = play(environment, actor, config.evaluation_episodes)
        if evaluate_exactly is not None:
            value = evaluate_exactly(source.get_variables(["policy"])[0])
            row |= {"exact_value": value.policy, "best_response_value": value.best_response}
        return row

    return evaluate


def play(environment: dm_env.Environment, actor: core.Actor, episodes: int) -> Row:
    """Plays episodes without learning.

    Args:
      environment: the environment.
      actor: the actor that chooses the actions.
      episodes: number of episodes, at least 1.

    Returns:
      The mean return, its standard error (NaN for a single episode), the mean length in steps, and the number
      of episodes.
    """
    loop = acme.EnvironmentLoop(
        environment, actor, counting.Counter(), loggers.NoOpLogger(), should_update=False
    )
    results = [loop.run_episode() for _ in range(episodes)]
    returns = np.array([float(result["episode_return"]) for result in results])
    lengths = np.array([float(result["episode_length"]) for result in results])
    error = returns.std(ddof=1) / math.sqrt(episodes) if episodes > 1 else math.nan
    return {
        "episode_return": float(returns.mean()),
        "episode_return_stderr": float(error),
        "episode_length": float(lengths.mean()),
        "episodes": episodes,
    }
