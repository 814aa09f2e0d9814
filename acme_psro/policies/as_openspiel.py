"""Tables and mixtures as OpenSpiel policies, for `open_spiel.python.algorithms` and friends.

Dimensions: `n_p` policies of player p, `t` decisions.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyspiel

from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import PolicyFile, StoredPolicyError

if TYPE_CHECKING:
    from acme_psro.games.batched import BatchPolicy
    from acme_psro.policies.decoders import Decoder

# OpenSpiel announces optional modules that it lacks.
with contextlib.redirect_stdout(io.StringIO()):
    from open_spiel.python.policy import Policy


class MixturePolicy(Policy):
    """Plays like a mixture whose policies are drawn once a game, independently by each player.

    At a decision each policy counts by its weight times the probability with which it would have made the
    player's own decisions so far: by Kuhn's theorem this one policy then plays like the mixture. Where none
    would have come, all legal actions have equal probability. The game is played again up to each state that
    is asked for, so that an answer takes as long as the game so far.

    Args:
      game: OpenSpiel's, turn-based.
      populations: `[P][n_p]`, policies of every player; those without weight are never evaluated.
      marginals: `[P][n_p]`, each policy's probability to be drawn.
    """

    def __init__(
        self,
        game: pyspiel.Game,
        populations: Sequence[Sequence[BatchPolicy]],
        marginals: Sequence[np.ndarray],
    ) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._drawn = [
            [(policies[index], float(weights[index])) for index in np.flatnonzero(weights).tolist()]
            for policies, weights in zip(populations, marginals, strict=True)
        ]

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        decisions, taken = self._decisions(state, player)
        rows = np.arange(len(taken))
        whole = np.zeros(self.game.num_distinct_actions())
        for policy, weight in self._drawn[player]:
            probabilities = policy([*decisions, state], player)
            whole += weight * probabilities[rows, taken].prod() * probabilities[-1]
        legal = state.legal_actions(player)
        total = whole.sum()
        if total <= 0:
            return dict.fromkeys(legal, 1 / len(legal))
        return {action: float(whole[action] / total) for action in legal}

    def _decisions(self, state: Any, player: int) -> tuple[list[Any], list[int]]:
        """Returns the states `[t]` in which the player decided on the way to a state, and its actions."""
        states, actions = [], []
        at = self.game.new_initial_state()
        for action in state.history():
            if at.current_player() == player:
                states.append(at.clone())
                actions.append(action)
            at.apply_action(action)
        return states, actions


def table_policy(tree: GameTree, table: np.ndarray) -> Policy:
    """Returns a policy table as an OpenSpiel policy, for `open_spiel.python.algorithms` and friends.

    It answers for states of the game that the tree was compiled from: games with simultaneous moves in
    their turn-based form (`pyspiel.convert_to_turn_based`).
    """

    class TablePolicy(Policy):
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


def mixture_policy(
    game: str,
    populations: Sequence[Sequence[PolicyFile]],
    meta_strategy: ProductStrategy,
    decoders: Mapping[str, Decoder] | None = None,
) -> MixturePolicy:
    """Returns the mixture of populations of stored policies as an OpenSpiel policy.

    Args:
      game: `str` of OpenSpiel's, turn-based.
      populations: one a player.
      meta_strategy: the distribution by which policies are drawn.
      decoders: decoders by kind of policy; None: `acme_psro.policies.decoders.DECODERS`.

    Raises:
      StoredPolicyError: a file that was truncated or altered, or a policy that no decoder takes.
    """
    # They import JAX, which tables do without.
    from acme_psro.policies import mixture_files
    from acme_psro.policies.decoders import DECODERS

    known = DECODERS if decoders is None else decoders
    loaded = mixture_files.of_populations(game, populations, meta_strategy)
    kinds = {policy.about["kind"] for own in loaded.policies for policy in own if policy is not None}
    unknown = sorted(kinds - known.keys())
    if unknown:
        raise StoredPolicyError(
            f"no decoder for policies of kind {unknown[0]!r}: give load_policy a decoder of that kind."
        )
    policies = mixture_files.opponents_of(loaded, known).policies
    return MixturePolicy(load_game(game), policies, meta_strategy.marginals)
