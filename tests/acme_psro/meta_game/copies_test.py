"""Payoffs of populations that begin as copies of one policy a player, against exact ones."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.copies import CopiesMetaGame
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile, StoredPolicy
from acme_psro.policies.tabular import make_policy


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Callable[[int, int, StoredPolicy], PolicyFile]:
    return lambda player, index, policy: stored.write_file(tmp_path / f"{player}_{index}.npz", policy)


def test_all_profiles_have_the_payoffs_of_the_first_policies(
    compiled: Callable[[str], GameTree],
    random_table: Callable[[GameTree, int], np.ndarray],
    store: Callable[[int, int, StoredPolicy], PolicyFile],
) -> None:
    tree = compiled("kuhn_poker")
    table = random_table(tree, 3)
    policies = [make_policy(tree, player, table[tree.infosets_of(player)]) for player in range(2)]
    first = [decoders.from_tree_policy(tree, player, policy) for player, policy in enumerate(policies)]
    meta_game = CopiesMetaGame("kuhn_poker()", first, store, episodes=2000, seed=0)
    files = meta_game.first()
    assert [stored.digest(stored.read(each.path)) for each in files] == [stored.digest(own) for own in first]
    payoffs = meta_game.extend([(files[0],) * 3, (files[1],) * 4], None)
    assert payoffs.mean.shape == payoffs.standard_error.shape == (2, 3, 4)
    assert (payoffs.episodes == 2000).all() and payoffs.episodes.shape == (3, 4)
    assert (payoffs.mean == payoffs.mean[:, :1, :1]).all()
    exact = exact_payoffs(tree, [(policy,) for policy in policies])[:, 0, 0]
    error = payoffs.standard_error[0, 0, 0]
    np.testing.assert_allclose(meta_game.tensor(payoffs)[:, 2, 1], exact, atol=4 * error)
    assert 0.01 < error < 0.1
    again = meta_game.extend([(files[0],), (files[1],)], None)
    np.testing.assert_array_equal(again.mean[:, 0, 0], payoffs.mean[:, 0, 0])


def test_payoffs_of_policies_that_differ_are_not_guessed(
    store: Callable[[int, int, StoredPolicy], PolicyFile], tmp_path: pathlib.Path
) -> None:
    first = [decoders.uniform("kuhn_poker()", player) for player in range(2)]
    meta_game = CopiesMetaGame("kuhn_poker()", first, store, episodes=2, seed=0)
    one, other = meta_game.first()
    with pytest.raises(ValueError, match="the policies of player 1 differ"):
        meta_game.extend([(one,), (other, PolicyFile(tmp_path / "new"))], None)
