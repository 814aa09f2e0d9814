"""Evaluation of an agent during training: returns of sampled episodes, and exact values in small games.

Dimensions: `I` information states, `A` actions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from acme import core
from acme.utils import counting, loggers

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import Agent, make_run_environment
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError
from acme_psro.games.tree import GameTree
from acme_psro.policies import as_table, mixture_files, tabular
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.psro.loop import independent
from acme_psro.storage import run_directory
from agents.core import AgentCore, Observation

# Compiling a larger game would take too much time for an evaluation.
_MAX_NODES = 200_000
# Random stream of the evaluation, see `make_run_environment`. Actors use smaller numbers.
_EVALUATION = 1_000_000

# Row of `evaluation.csv`: values by name of the column.
Row = dict[str, float]


class ExactValue(NamedTuple):
    """Expected returns of the learning player against the other players, in the game's utility units.

    Attributes:
      policy: expected return of the agent's policy.
      best_response: expected return of a best response, the largest value that any policy can reach.
    """

    policy: float
    best_response: float


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


def make_exact_evaluation(config: AgentRunConfig, agent: AgentCore) -> Callable[[Any], ExactValue] | None:
    """Makes the function that computes the exact value of a policy in a small game.

    Args:
      config: configuration of the run.
      agent: functions of the agent, bound to its networks.

    Returns:
      A function from the variables of a policy to its exact value. None if the environment is not a game, the
      game is too large to compile, or the other players have no joint table, see `_table_of_others`.
    """
    if config.kind != "openspiel":
        return None
    try:
        tree = compile_game(config.environment.partition(":")[2], _MAX_NODES)
    except GameError:
        return None
    player, others = config.player, _table_of_others(tree, config)
    if others is None:
        return None
    # The other players do not change during the run, so the best response is computed only once.
    best = traverse.best_response(tree, traverse.realisation_plan(tree, others), player).value
    rows = tree.infosets_of(player)
    observations = Observation(
        jnp.asarray(tree.info_state[rows], jnp.float32),
        jnp.asarray(tree.legal_actions[rows]),
        jnp.zeros((rows.stop - rows.start, 0)),
    )
    probs = jax.jit(lambda variables: agent.probs(variables, observations))

    def evaluate(variables: Any) -> ExactValue:
        """Computes the exact value of the policy with these variables."""
        table = others.copy()
        policy = np.asarray(probs(variables), np.float64)
        # float32 probabilities do not add up to 1 in float64.
        table[rows] = policy / policy.sum(axis=1, keepdims=True)
        returns = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))
        return ExactValue(float(returns[player]), best)

    return evaluate


def _table_of_others(tree: GameTree, config: AgentRunConfig) -> np.ndarray | None:
    """Returns the policies of the other players, `[I, A]`.

    None if there is no such table, for example because the other players' policies are correlated.
    """
    if config.opponent is None:
        return tree.uniform_policy()
    if mixture_files.exists(Path(config.opponent)):
        return as_table.mixture_table(tree, Path(config.opponent), config.player)
    run = run_directory.read(config.opponent)
    if not isinstance(run, run_directory.StoredExactRun):
        return None
    state = run.record.state
    # A single other player's marginal says all of a joint distribution.
    if isinstance(state.meta_strategy, JointStrategy) and tree.num_players > 2:
        return None
    return tabular.mixture_table(run.tree, state.populations, independent(state))
