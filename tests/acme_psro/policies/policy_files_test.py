"""Populations of policies as files."""

import pathlib

import numpy as np
import pytest

from acme_psro.games.identity import name_game
from acme_psro.policies import decoders, mixtures, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import PolicyFile, StoredPolicyError

GAME = "kuhn_poker()"


def test_a_policy_that_was_written_is_read_as_the_same_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new" / "policy.npz"
    written = stored.write_file(path, decoders.uniform(name_game(GAME), 1))
    assert written == PolicyFile(path) == stored.check_file(path, GAME, 1)
    with pytest.raises(StoredPolicyError, match="is of player 1"):
        stored.check_file(path, GAME, 0)
    with pytest.raises(StoredPolicyError, match=r"not leduc_poker\(\)"):
        stored.check_file(path, "leduc_poker()", 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoredPolicyError, match="truncated or altered"):
        stored.check_file(path, GAME, 1)


def test_a_mixture_reads_what_has_weight(tmp_path: pathlib.Path) -> None:
    drawn = [
        stored.write_file(tmp_path / f"{player}.npz", decoders.uniform(name_game(GAME), player))
        for player in range(2)
    ]
    nowhere = PolicyFile(tmp_path / "nowhere.npz")
    strategy = ProductStrategy((np.array([0.0, 1.0]), np.array([1.0])))
    loaded = mixtures.of_populations(GAME, [(nowhere, drawn[0]), (drawn[1],)], strategy)
    assert loaded.game == GAME and loaded.meta_strategy is strategy
    assert loaded.policies[0][0] is None
    assert [
        policy.about["player"] for policy in (loaded.policies[0][1], loaded.policies[1][0]) if policy
    ] == [0, 1]
    with pytest.raises(StoredPolicyError, match="cannot be read"):
        mixtures.of_populations(GAME, [(nowhere,), (drawn[1],)], ProductStrategy((np.ones(1), np.ones(1))))
