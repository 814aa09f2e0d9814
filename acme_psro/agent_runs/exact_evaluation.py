"""Exact values of a policy in small games, against the run's opponents. Nothing of Acme is imported.

Dimensions: `I` information states, `A` actions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
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


class ExactValue(NamedTuple):
    """Expected returns of the learning player against the other players, in the game's utility units.

    Attributes:
      policy: expected return of the agent's policy.
      best_response: expected return of a best response, the largest value that any policy can reach.
    """

    policy: float
    best_response: float


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
