"""How far a mixture is from equilibrium, exactly, and the mixture as one OpenSpiel policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_strategy import MetaStrategy
from acme_psro.population import Population, mixture

if TYPE_CHECKING:
    from open_spiel.python.policy import Policy as OpenSpielPolicy


class Evaluation(NamedTuple):
    """Exact figures of a mixture, in the game's utility units.

    Attributes:
      expected_returns: `[P]`.
      per_player_gain: `[P]`, what a best response gains over the mixture; never below 0.
    """

    expected_returns: np.ndarray
    per_player_gain: np.ndarray

    @property
    def nash_conv(self) -> float:
        """The sum of the gains."""
        return float(self.per_player_gain.sum())

    @property
    def exploitability(self) -> float:
        """NashConv divided by the number of players, as in OpenSpiel."""
        return self.nash_conv / len(self.per_player_gain)


def evaluate(tree: GameTree, populations: Sequence[Population], meta_strategy: MetaStrategy) -> Evaluation:
    """Evaluates the mixture of the populations exactly."""
    plan = mixture(tree, populations, meta_strategy.marginals)
    gains = np.maximum(traverse.gains(tree, plan), 0.0)
    return Evaluation(traverse.expected_returns(tree, plan), gains)


def mixture_table(
    tree: GameTree, populations: Sequence[Population], meta_strategy: MetaStrategy
) -> np.ndarray:
    """`[I, A]`: the one policy that plays like the mixture, weighted by reach."""
    plan = mixture(tree, populations, meta_strategy.marginals)
    return traverse.behaviour(tree, plan)


def openspiel_policy(tree: GameTree, table: np.ndarray) -> OpenSpielPolicy:
    """A policy table as an OpenSpiel policy, for `open_spiel.python.algorithms` and friends.

    It answers for states of the game that the tree was compiled from: games with simultaneous moves in
    their turn-based form (`pyspiel.convert_to_turn_based`).
    """
    import pyspiel
    from open_spiel.python import policy

    from acme_psro.games.loading import load_game

    class TablePolicy(policy.Policy):
        """Looks the information state up in a table."""

        def __init__(self, game: pyspiel.Game) -> None:
            super().__init__(game, list(range(game.num_players())))
            self._rows = {
                (player, tree.keys[infoset]): infoset
                for player in range(tree.num_players)
                for infoset in range(*tree.infosets_of(player).indices(tree.num_infosets))
            }

        def action_probabilities(
            self, state: pyspiel.State, player_id: int | None = None
        ) -> dict[int, float]:
            player = state.current_player() if player_id is None else player_id
            infoset = self._rows[player, state.information_state_string(player)]
            actions = np.flatnonzero(tree.legal_actions[infoset])
            return {int(action): float(table[infoset, action]) for action in actions}

    return TablePolicy(load_game(tree.game_string))
