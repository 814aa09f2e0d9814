"""Games of self-play runs: compiled as trees or as graphs, evaluated exactly, and their policies as files.

Dimensions: `O` observations over all players (the information states of a tree), `A` actions, `P` players.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acme_psro.evaluation.exact import Evaluation
from acme_psro.games import sweeps, traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, stored
from acme_psro.policies.tabular import make_policy

if TYPE_CHECKING:
    from acme_psro.games.graph import GameGraph


class EvaluationError(RuntimeError):
    """A policy that cannot be evaluated exactly; the message is one line for the user."""


def compile_any(game: str, max_nodes: int, note: Callable[[str], None]) -> GameTree | GameGraph:
    """Compiles a game as a tree, or as a graph of merged states if its tree is too large.

    Args:
      game: the OpenSpiel game string.
      max_nodes: the largest number of nodes.
      note: called with a line that says which.

    Raises:
      GameError: the game is unknown, or it compiles neither way.
    """
    load_game(game)
    try:
        tree = compile_game(game, max_nodes)
    except GameError:
        # Only games that are no trees need it.
        from acme_psro.games.compile_graph import compile_graph, describe_view

        graph = compile_graph(game, max_nodes)
        note(f"{graph.game_string} as a graph of merged states: {graph.num_nodes:,} nodes")
        note(describe_view(graph))
        return graph
    note(f"{tree.game_string} as a tree: {tree.num_nodes:,} nodes")
    return tree


def evaluate(game: GameTree | GameGraph, table: np.ndarray) -> Evaluation:
    """Evaluates a policy `[O, A]` exactly, against best responses with perfect recall.

    Raises:
      EvaluationError: the search for best responses needs too much memory.
    """
    if isinstance(game, GameTree):
        plan = traverse.realisation_plan(game, table)
        # Rounding may leave a gain just below 0 at an equilibrium.
        gains = np.maximum(traverse.gains(game, plan), 0.0)
        return Evaluation(traverse.expected_returns(game, plan), gains)
    # It imports a compiler, which takes seconds.
    from acme_psro.evaluation import beliefs

    try:
        returns = sweeps.expected_returns(game, table)
        players = game.num_players
        gains = beliefs.gains(game, [table[None]] * players, [np.ones(1)] * players, returns=returns)
    except ValueError as error:
        raise EvaluationError(f"the policy cannot be evaluated exactly: {error}") from error
    return Evaluation(returns, gains)


def as_table(probs: np.ndarray) -> np.ndarray:
    """Returns a network's probabilities `[O, A]`, float32, as float64 rows that sum to 1."""
    table = np.asarray(probs, np.float64)
    return table / table.sum(axis=1, keepdims=True)


def write_policies(game: GameTree | GameGraph, table: np.ndarray, directory: Path) -> None:
    """Writes each player's policy into a file of its own, see `acme_psro.policies.stored`."""
    directory.mkdir(parents=True, exist_ok=True)
    for player in range(game.num_players):
        if isinstance(game, GameTree):
            policy = make_policy(game, player, table[game.rows_of(player)])
            content = decoders.from_tree_policy(game, player, policy)
        else:
            content = decoders.from_graph_policy(game, player, table[game.rows_of(player)])
        stored.write(policy_file(directory, player), content)


def policy_file(directory: Path, player: int) -> Path:
    """Returns the path of a player's policy."""
    return directory / f"player_{player}.npz"
