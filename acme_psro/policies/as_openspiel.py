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

from acme_psro.games.information_states import make_namer
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import MetaStrategy, ProductStrategy, require_product
from acme_psro.policies.stored import PolicyFile, StoredPolicyError

if TYPE_CHECKING:
    from acme_psro.games.batch_policies import BatchPolicy
    from acme_psro.games.graph import GameGraph
    from acme_psro.policies.decoders import Decoder
    from acme_psro.policies.mixtures import Mixture
    from acme_psro.policies.on_graph import GraphPopulation

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
            # Bayes' rule. The factors of chance and of the other players are the same for every policy here,
            # so they cancel when `whole` is normalised.
            whole += weight * probabilities[rows, taken].prod() * probabilities[-1]
        legal = state.legal_actions(player)
        total = whole.sum()
        if total <= 0:
            return dict.fromkeys(legal, 1 / len(legal))
        return {action: float(whole[action] / total) for action in legal}

    def _decisions(self, state: Any, player: int) -> tuple[list[Any], list[int]]:
        """Returns the states `[t]` in which the player decided on the way to a state, and its actions."""
        states, actions = [], []
        # A state knows its history but not the states on the way, so the game is played again.
        at = self.game.new_initial_state()
        for action in state.history():
            if at.current_player() == player:
                states.append(at.clone())
                actions.append(action)
            at.apply_action(action)
        return states, actions


class TablePolicy(Policy):
    """Looks information states up in a table.

    It can be pickled: another process loads the game again by its name.

    Args:
      game: the game's name, see `acme_psro.games.identity`.
      rows: the row of each player and name of an information state.
      legal_actions: `[I, A]` bool.
      table: `[I, A]`, the probabilities.
    """

    def __init__(
        self,
        game: str,
        rows: Mapping[tuple[int, str], int],
        legal_actions: np.ndarray,
        table: np.ndarray,
    ) -> None:
        loaded = load_game(game)
        super().__init__(loaded, list(range(loaded.num_players())))
        self._arguments = (game, rows, legal_actions, table)
        self._name = make_namer(loaded)

    def __reduce__(self) -> tuple[Any, ...]:
        return TablePolicy, self._arguments

    def action_probabilities(self, state: pyspiel.State, player_id: int | None = None) -> dict[int, float]:
        """Returns the probability of each legal action.

        Raises:
          ValueError: the state is of another game.
        """
        player = state.current_player() if player_id is None else player_id
        game, rows, legal_actions, table = self._arguments
        infoset = rows.get((player, self._name(state, player)))
        if infoset is None:
            raise ValueError(
                f"the policy plays {game}, and does not have the information state of player {player} in a "
                f"state of {state.get_game()}: ask it about states of its own game."
            )
        return {int(a): float(table[infoset, a]) for a in np.flatnonzero(legal_actions[infoset])}


def table_policy(tree: GameTree, table: np.ndarray) -> TablePolicy:
    """Returns a policy table `[I, A]` as an OpenSpiel policy, for `open_spiel.python.algorithms` and friends.

    It answers for states of the game that the tree was compiled from: games with simultaneous moves in
    their turn-based form (`pyspiel.convert_to_turn_based`).
    """
    rows = {
        (player, tree.keys[infoset]): infoset
        for player in range(tree.num_players)
        for infoset in range(*tree.infosets_of(player).indices(tree.num_infosets))
    }
    return TablePolicy(tree.game_string, rows, tree.legal_actions, table)


class StoredMixturePolicy(MixturePolicy):
    """A mixture of stored policies. It can be pickled: another process decodes the policies again.

    Args:
      mixture: the stored policies and their weights.
      decoders: decoders by kind of policy. They must be functions of a module if the policy is pickled.
    """

    def __init__(self, mixture: Mixture, decoders: Mapping[str, Decoder]) -> None:
        # It imports JAX, which tables do without.
        from acme_psro.policies import mixtures

        policies = mixtures.opponents_of(mixture, decoders).policies
        super().__init__(load_game(mixture.game), policies, require_product(mixture.meta_strategy).marginals)
        self._arguments = (mixture, decoders)

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredMixturePolicy, self._arguments


def mixture_policy(
    game: str,
    populations: Sequence[Sequence[PolicyFile]],
    meta_strategy: ProductStrategy,
    decoders: Mapping[str, Decoder] | None = None,
) -> MixturePolicy:
    """Returns the mixture of populations of stored policies as an OpenSpiel policy.

    Args:
      game: the game's name, see `acme_psro.games.identity`.
      populations: one a player.
      meta_strategy: the distribution by which policies are drawn.
      decoders: decoders by kind of policy; None: `acme_psro.policies.decoders.DECODERS`.

    Raises:
      StoredPolicyError: a file that was truncated or altered, or a policy that no decoder takes.
    """
    # They import JAX, which tables do without.
    from acme_psro.policies import mixtures
    from acme_psro.policies.decoders import DECODERS

    known = DECODERS if decoders is None else decoders
    return stored_mixture(mixtures.of_populations(game, populations, meta_strategy), known)


def graph_mixture_policy(
    graph: GameGraph, populations: Sequence[GraphPopulation], meta_strategy: MetaStrategy
) -> StoredMixturePolicy:
    """Returns the mixture of populations on a graph as an OpenSpiel policy."""
    from acme_psro.policies import mixtures
    from acme_psro.policies.decoders import DECODERS

    return stored_mixture(mixtures.of_graph(graph, populations, meta_strategy), DECODERS)


def stored_mixture(loaded: Mixture, known: Mapping[str, Decoder]) -> StoredMixturePolicy:
    """Returns a mixture of stored policies as an OpenSpiel policy.

    Raises:
      StoredPolicyError: no decoder takes a policy.
    """
    kinds = {policy.about["kind"] for own in loaded.policies for policy in own if policy is not None}
    unknown = sorted(kinds - known.keys())
    if unknown:
        raise StoredPolicyError(
            f"no decoder for policies of kind {unknown[0]!r}: give load_policy a decoder of that kind."
        )
    return StoredMixturePolicy(loaded, known)
