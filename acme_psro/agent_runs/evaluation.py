"""How good an agent is while it learns: episodes played for the record, and exact values in games.

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
from acme_psro.policies import as_table, mixture_files
from acme_psro.storage import run_directory
from agents.core import AgentCore, Observation

# Larger games are compiled for a longer time than an evaluation is worth.
_MAX_NODES = 200_000
# Of the streams of random numbers that a run splits its seed into; actors have those before it.
_EVALUATION = 1_000_000


Row = dict[str, float]


class ExactValue(NamedTuple):
    """Expected returns of the learning player against the others, in the game's utility units.

    Attributes:
      policy: of the agent.
      best_response: of the best policy that there is.
    """

    policy: float
    best_response: float


def make_evaluation(
    config: AgentRunConfig, agent: Agent, spec: acme.specs.EnvironmentSpec, source: core.VariableSource
) -> Callable[[], Row]:
    """What plays the configured episodes with the source's newest policy, exactly too in small games."""
    environment = make_run_environment(config, _EVALUATION)
    networks = agent.network_factory(spec)
    # The client's period would pass over most requests.
    always = agent.builder.with_replay(dataclasses.replace(agent.builder.replay, variable_update_period=1))
    policy = always.make_policy(networks, spec, evaluation=True)
    key = jax.random.PRNGKey(np.random.SeedSequence([config.seed, _EVALUATION, 1]).generate_state(1)[0])
    actor = always.make_actor(key, policy, spec, source)
    exactly = make_exact_evaluation(config, agent.make_core(networks))

    def evaluate() -> Row:
        actor.update(wait=True)
        row = play(environment, actor, config.evaluation_episodes)
        if exactly is not None:
            value = exactly(source.get_variables(["policy"])[0])
            row |= {"exact_value": value.policy, "best_response_value": value.best_response}
        return row

    return evaluate


def play(environment: dm_env.Environment, actor: core.Actor, episodes: int) -> Row:
    """Plays episodes without learning; returns mean and standard error of return and mean length."""
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
    """What evaluates an agent's variables exactly; None in large games, or if others draw together."""
    if config.kind != "openspiel":
        return None
    try:
        tree = compile_game(config.environment.partition(":")[2], _MAX_NODES)
    except GameError:
        return None
    player, others = config.player, _table_of_others(tree, config)
    if others is None:
        return None
    best = traverse.best_response(tree, traverse.realisation_plan(tree, others), player).value
    rows = tree.infosets_of(player)
    seen = Observation(
        jnp.asarray(tree.info_state[rows], jnp.float32),
        jnp.asarray(tree.legal_actions[rows]),
        jnp.zeros((rows.stop - rows.start, 0)),
    )
    probs = jax.jit(lambda variables: agent.probs(variables, seen))

    def evaluate(variables: Any) -> ExactValue:
        table = others.copy()
        found = np.asarray(probs(variables), np.float64)
        table[rows] = found / found.sum(axis=1, keepdims=True)
        returns = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))
        return ExactValue(float(returns[player]), best)

    return evaluate


def _table_of_others(tree: GameTree, config: AgentRunConfig) -> np.ndarray | None:
    """`[I, A]`: what the others play; None where they draw their policies together."""
    if config.opponent is None:
        return tree.uniform_policy()
    if mixture_files.exists(Path(config.opponent)):
        return as_table.mixture_table(tree, Path(config.opponent), config.player)
    run = run_directory.read(config.opponent)
    return run.mixture_table() if isinstance(run, run_directory.StoredExactRun) else None
