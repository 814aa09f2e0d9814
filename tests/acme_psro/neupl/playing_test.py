"""Games of members: pairs stay together from deal to end, and come as often as they should."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.device_arrays import make_arrays
from acme_psro.neupl.playing import Matches, make_tables, play

NUM_ENVS, NUM_DECISIONS = 2048, 4


def marked(case: Any) -> np.ndarray:
    """Returns policies `[2, I, A]` of two members: one always passes in Kuhn poker, the other always bets."""
    return np.eye(2)[np.arange(2)][:, None, :].repeat(case.tree.num_infosets, axis=1)


def played(case: Any, weights: Any, share: float = 0.0, player: int = 0) -> Any:
    game = make_arrays(case.tree)
    weights = jnp.asarray(weights, jnp.float32)
    num_learning = len(weights)
    learning = np.tile(case.tree.uniform_policy(), (num_learning, 1, 1))
    tables = make_tables(game, jnp.asarray(learning, jnp.float32), jnp.asarray(marked(case), jnp.float32))
    trembles = jnp.full((num_learning, 2), 1 / (2 * num_learning))
    matches = Matches(weights, trembles, jnp.float32(share), jnp.float32(0.25))
    key = jax.random.key(0)
    decisions, episodes = play(game, tables, matches, jnp.int32(player), key, NUM_ENVS, NUM_DECISIONS)
    return jax.tree.map(np.asarray, decisions), int(episodes)


@pytest.mark.games("kuhn")
@pytest.mark.parametrize("player", [0, 1])
def test_a_pair_is_constant_from_deal_to_end_in_every_slot(case: Any, player: int) -> None:
    """Opponents that always bet or always pass tell by their moves which one sits in a game."""
    # Member 0 meets the opponent that passes, member 1 the one that bets.
    decisions, _ = played(case, [[0.5, 0.0], [0.0, 0.5]], player=player)
    within = ~decisions.ended[:-1] & (decisions.weight[:-1] > 0)
    # Player 1 of Kuhn poker decides once in a game.
    assert within.any() == (player == 0)
    np.testing.assert_array_equal(decisions.member[:-1][within], decisions.member[1:][within])
    told = []
    for member, forbidden in ((0, "b"), (1, "p")):
        # Names of Kuhn's information states end in the moves, of which every other one is the opponent's.
        seen = np.unique(decisions.infoset[(decisions.member == member) & (decisions.weight > 0)])
        moves = [case.tree.keys[infoset].split()[-1].lstrip("012") for infoset in seen]
        theirs = [text[1 - player :: 2] for text in moves]
        assert all(forbidden not in text for text in theirs), (member, moves)
        told += theirs
    assert any(told)


@pytest.mark.games("kuhn")
def test_pairs_come_as_often_as_their_weights_say(case: Any) -> None:
    """Deals of games that begin with the block: each is a game that was drawn by the weights."""
    weights = np.array([[0.1, 0.2], [0.3, 0.1], [0.0, 0.3]])
    decisions, episodes = played(case, weights)
    assert episodes > NUM_ENVS
    share = np.bincount(decisions.member[0], minlength=3) / NUM_ENVS
    error = np.sqrt(0.25 / NUM_ENVS)
    np.testing.assert_allclose(share, weights.sum(axis=1), atol=4 * error)


@pytest.mark.games("kuhn")
def test_trembles_have_their_share_and_their_weight(case: Any) -> None:
    decisions, _ = played(case, [[1.0, 0.0]], share=0.2)
    own = decisions.weight[0][decisions.weight[0] > 0]
    assert set(np.unique(own)) == {np.float32(0.25), np.float32(1.0)}
    assert abs((own == 0.25).mean() - 0.2) < 4 * np.sqrt(0.16 / len(own))
