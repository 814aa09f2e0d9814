"""Tests of mixture directories: what is written plays again, and what does not belong together is refused."""

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.identity import name_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, mixture_files, mixtures, stored
from acme_psro.policies.decoders import DECODERS
from acme_psro.policies.meta_strategy import JointStrategy, MixtureError, ProductStrategy
from acme_psro.policies.mixtures import Mixture
from acme_psro.policies.stored import StoredPolicyError
from acme_psro.policies.tabular import make_policy


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def stored_table(tree: GameTree, player: int, table: np.ndarray) -> stored.StoredPolicy:
    return decoders.from_tree_policy(tree, player, make_policy(tree, player, table[tree.infosets_of(player)]))


@pytest.fixture
def mixture(tree: GameTree, random_table: Any) -> Mixture:
    """Two policies of player 0 and three of player 1, of which the second has no weight and is missing."""
    policies = [
        [stored_table(tree, player, random_table(tree, seed)) for seed in range(2 + player)]
        for player in (0, 1)
    ]
    strategy = ProductStrategy((np.array([0.25, 0.75]), np.array([0.5, 0.0, 0.5])))
    own, other = policies
    return Mixture(tree.game_string, (tuple(own), (other[0], None, other[2])), strategy)


def names(directory: pathlib.Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_what_is_written_is_read(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    assert not mixture_files.exists(tmp_path / "mixture")
    mixture_files.write(tmp_path / "mixture", mixture)
    assert mixture_files.exists(tmp_path / "mixture")
    assert names(tmp_path / "mixture") == {
        "mixture.json",
        "policies/player_0_00000.npz",
        "policies/player_0_00001.npz",
        "policies/player_1_00000.npz",
        "policies/player_1_00002.npz",
    }
    loaded = mixture_files.load(tmp_path / "mixture")
    assert loaded.game == mixture.game
    assert isinstance(loaded.meta_strategy, ProductStrategy)
    assert [each.tolist() for each in loaded.meta_strategy.marginals] == [[0.25, 0.75], [0.5, 0.0, 0.5]]
    for own, expected in zip(loaded.policies, mixture.policies, strict=True):
        for policy, other in zip(own, expected, strict=True):
            if other is None:
                assert policy is None
                continue
            assert policy is not None
            assert policy.about == other.about
            np.testing.assert_array_equal(policy.arrays["table"], other.arrays["table"])


@pytest.mark.games("kuhn")
def test_opponents_play_what_was_written(mixture: Mixture, tmp_path: pathlib.Path, case: Any) -> None:
    mixture_files.write(tmp_path, mixture)
    opponents = mixture_files.read(tmp_path, DECODERS, "kuhn_poker")
    rows = case.tree.infosets_of(1)
    nodes = [int(np.flatnonzero(case.tree.infoset == row)[0]) for row in range(rows.start, rows.stop)]
    states = [case.state_of(node) for node in nodes]
    for index in (0, 2):
        policy = mixture.policies[1][index]
        assert policy is not None
        np.testing.assert_array_equal(opponents.policies[1][index](states, 1), policy.arrays["table"])
    drawn = opponents.draw(np.random.default_rng(0), 1000)
    assert set(map(tuple, drawn.tolist())) == {(0, 0), (0, 2), (1, 0), (1, 2)}
    with pytest.raises(
        MixtureError, match="a policy of player 1 that has no weight in the mixture was to play"
    ):
        opponents.policies[1][1](states, 1)


def test_a_joint_distribution_is_drawn_whole(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    joint = JointStrategy(np.array([[0, 2], [1, 0]]), np.array([0.5, 0.5]))
    mixture_files.write(tmp_path, mixture._replace(meta_strategy=joint))
    assert isinstance(mixture_files.load(tmp_path).meta_strategy, JointStrategy)
    drawn = mixture_files.read(tmp_path, DECODERS).draw(np.random.default_rng(0), 100)
    assert set(map(tuple, drawn.tolist())) == {(0, 2), (1, 0)}


@pytest.fixture
def trembling(mixture: Mixture, tree: GameTree, random_table: Any) -> Mixture:
    """The mixture with a tenth of trembles, and with the policy that it lacks."""
    own, (first, _, third) = mixture.policies
    missing = stored_table(tree, 1, random_table(tree, 1))
    return mixture._replace(policies=(own, (first, missing, third)), trembles=0.1)


def test_trembles_are_written_and_old_files_have_none(
    mixture: Mixture, trembling: Mixture, tmp_path: pathlib.Path
) -> None:
    mixture_files.write(tmp_path / "old", mixture)
    assert "trembles" not in json.loads((tmp_path / "old" / "mixture.json").read_text())
    assert mixture_files.load(tmp_path / "old").trembles == 0.0
    mixture_files.write(tmp_path / "new", trembling)
    loaded = mixture_files.load(tmp_path / "new")
    assert loaded.trembles == 0.1
    assert isinstance(loaded.meta_strategy, ProductStrategy)
    assert [each.tolist() for each in loaded.meta_strategy.marginals] == [[0.25, 0.75], [0.5, 0.0, 0.5]]
    # Every policy may be drawn, so that every policy is there.
    assert all(policy is not None for own in loaded.policies for policy in own)


def test_only_those_who_ask_for_trembles_meet_them(trembling: Mixture, tmp_path: pathlib.Path) -> None:
    mixture_files.write(tmp_path, trembling)
    n = 20_000

    def draw(**options: bool) -> np.ndarray:
        opponents = mixture_files.read(tmp_path, DECODERS, "kuhn_poker", **options)
        return opponents.draw(np.random.default_rng(0), n)

    usual = draw()
    assert set(usual[:, 1]) == {0, 2}
    shares = np.bincount(draw(trembling=True)[:, 1], minlength=3) / n
    expected = 0.9 * np.array([0.5, 0.0, 0.5]) + 0.1 / 3
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected / n)).all()
    without = mixtures.opponents_of(trembling._replace(trembles=0.0), DECODERS, trembling=True)
    np.testing.assert_array_equal(without.draw(np.random.default_rng(0), n), usual)


def test_all_players_tremble_in_the_same_episodes(trembling: Mixture) -> None:
    joint = JointStrategy(np.array([[0, 2], [1, 0]]), np.array([0.5, 0.5]))
    mixture = trembling._replace(meta_strategy=joint)
    n = 20_000
    drawn = mixtures.opponents_of(mixture, DECODERS, trembling=True).draw(np.random.default_rng(0), n)
    shares = np.zeros((2, 3))
    np.add.at(shares, tuple(drawn.T), 1 / n)
    expected = np.full((2, 3), 0.1 / 6)
    expected[0, 2] += 0.45
    expected[1, 0] += 0.45
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected / n)).all()


@pytest.mark.parametrize("trembles", [-0.1, 1.1, float("nan")])
def test_trembles_that_are_no_share_are_refused(
    trembles: float, trembling: Mixture, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(MixtureError, match=r"^trembles must lie in \[0, 1\], not (-0.1|1.1|nan)\.$"):
        mixture_files.write(tmp_path, trembling._replace(trembles=trembles))
    assert not mixture_files.exists(tmp_path)


def test_trembles_need_every_policy(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    with pytest.raises(MixtureError, match=r"^policy 1 of player 1 has weight and is missing: give it\.$"):
        mixture_files.write(tmp_path, mixture._replace(trembles=0.1))
    assert not mixture_files.exists(tmp_path)


def test_the_player_who_responds_needs_no_policies(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    strategy = ProductStrategy((np.array([]), np.array([0.5, 0.0, 0.5])))
    others = mixture._replace(policies=((), mixture.policies[1]), meta_strategy=strategy)
    mixture_files.write(tmp_path, others)
    opponents = mixture_files.read(tmp_path, DECODERS)
    assert opponents.policies[0] == ()
    assert set(opponents.draw(np.random.default_rng(0), 100)[:, 1]) == {0, 2}
    trembling = mixtures.opponents_of(others._replace(trembles=0.5), DECODERS, trembling=True)
    assert set(trembling.draw(np.random.default_rng(0), 100)[:, 1]) == {0, 1, 2}


def test_writing_again_replaces_the_mixture(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    mixture_files.write(tmp_path, mixture)
    pure = ProductStrategy((np.array([1.0, 0.0]), np.array([1.0, 0.0, 0.0])))
    mixture_files.write(tmp_path, mixture._replace(meta_strategy=pure))
    assert set(
        map(tuple, mixture_files.read(tmp_path, DECODERS).draw(np.random.default_rng(0), 100).tolist())
    ) == {(0, 0)}


def test_a_policy_with_weight_must_be_there(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    strategy = ProductStrategy((np.array([0.25, 0.75]), np.array([0.0, 1.0, 0.0])))
    wrong = mixture._replace(meta_strategy=strategy)
    with pytest.raises(MixtureError, match=r"^policy 1 of player 1 has weight and is missing: give it\.$"):
        mixture_files.write(tmp_path, wrong)
    assert not mixture_files.exists(tmp_path)


def test_policies_of_another_player_or_game_are_refused(
    mixture: Mixture, tree: GameTree, random_table: Any, tmp_path: pathlib.Path
) -> None:
    swapped = mixture._replace(policies=(mixture.policies[1][:1] * 2, mixture.policies[1]))
    with pytest.raises(StoredPolicyError, match="policy 0 of player 0 is of player 1: it cannot play for 0"):
        mixture_files.write(tmp_path, swapped)
    with pytest.raises(
        StoredPolicyError, match=r"policy 0 of player 0 plays kuhn_poker\(\), not leduc_poker\(\)"
    ):
        mixture_files.write(tmp_path, mixture._replace(game="leduc_poker()"))
    mixture_files.write(tmp_path, mixture)
    with pytest.raises(MixtureError, match=r"plays kuhn_poker\(\), not leduc_poker\(\): choose another"):
        mixture_files.read(tmp_path, DECODERS, "leduc_poker")


def test_a_directory_without_mixture_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MixtureError, match=r"^there is no mixture in .* \(no mixture\.json\)\.$"):
        mixture_files.read(tmp_path, DECODERS)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "not_an_object"])
def test_a_damaged_description_is_refused(damage: str, mixture: Mixture, tmp_path: pathlib.Path) -> None:
    mixture_files.write(tmp_path, mixture)
    path = tmp_path / "mixture.json"
    text = path.read_text()
    damaged = {
        "truncated": text[: len(text) // 2],
        "altered": text.replace("0.25", "0.35").replace("0.75", "0.65"),
        "empty": "",
        "not_an_object": json.dumps([text]),
    }[damage]
    assert damaged != text
    path.write_text(damaged)
    with pytest.raises(
        MixtureError, match=r"^.*mixture\.json was truncated or altered: write the mixture again\.$"
    ):
        mixture_files.load(tmp_path)


def test_damaged_policies_are_refused(mixture: Mixture, tmp_path: pathlib.Path) -> None:
    mixture_files.write(tmp_path, mixture)
    path = tmp_path / "policies" / "player_1_00002.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(StoredPolicyError, match=r"player_1_00002\.npz is no stored policy, or was truncated"):
        mixture_files.load(tmp_path)
    path.unlink()
    with pytest.raises(StoredPolicyError, match=r"player_1_00002\.npz cannot be read"):
        mixture_files.load(tmp_path)
    # Whole, and of the same player and game, but another.
    shutil.copy(path.with_name("player_1_00000.npz"), path)
    with pytest.raises(
        MixtureError, match=r"player_1_00002\.npz is not the policy that the mixture was written"
    ):
        mixture_files.load(tmp_path)
    path.write_bytes(whole)
    assert mixture_files.load(tmp_path).game == mixture.game


def test_another_version_is_named(
    mixture: Mixture, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mixture_files, "_VERSION", 2)
        mixture_files.write(tmp_path, mixture)
    with pytest.raises(MixtureError, match="has version 2; this program reads 1"):
        mixture_files.load(tmp_path)


def test_a_mixture_of_a_game_that_has_changed_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "game.nfg"
    path.write_text('NFG 1 R "one" { "a" "b" } { 2 2 }\n\n3 3 5 0 0 5 1 1\n')
    name = name_game(f"nfg_game(filename={path})")
    policies = tuple((decoders.uniform(name, player),) for player in range(2))
    written = Mixture(name, policies, ProductStrategy((np.ones(1), np.ones(1))))
    mixture_files.write(tmp_path / "mixture", written)
    assert mixture_files.load(tmp_path / "mixture").game == name
    path.write_text('NFG 1 R "one" { "a" "b" } { 2 2 }\n\n3 3 7 0 0 7 1 1\n')
    with pytest.raises(MixtureError, match=r"has changed since the mixture in .* was written"):
        mixture_files.load(tmp_path / "mixture")
