"""Sinks by name and from files: what they play, whether players share members, and files that do not fit."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games.symmetry import find_counterparts
from acme_psro.games.tree import GameTree
from acme_psro.neupl import sinks
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.policies import decoders, stored
from acme_psro.policies.tabular import make_policy

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Write:
    """`(tree, player, table, name) -> str`: writes a player's policy of `[I, A]` and returns its file."""

    def make(tree: GameTree, player: int, table: np.ndarray, name: str = "policy") -> str:
        policy = make_policy(tree, player, table[tree.infosets_of(player)])
        path = tmp_path / f"{name}_{player}.npz"
        stored.write(path, decoders.from_tree_policy(tree, player, policy))
        return str(path)

    return make


@pytest.mark.games("rock_paper_scissors")
def test_a_sink_that_prefers_first_actions(case: Any) -> None:
    sink = sinks.make_sink(case.tree, NeuPLConfig(sink="first_actions"))
    np.testing.assert_allclose(sink, [[0.96466, 0.01767, 0.01767]] * 2, atol=1e-5)
    policies = sinks.make_sinks(case.tree, NeuPLConfig())
    assert [policy.table.shape for policy in policies] == [(1, 3), (1, 3)]


@pytest.mark.games("kuhn")
def test_a_file_is_the_sink_of_its_player(
    case: Any, write: Write, random_table: Callable[[GameTree, int], np.ndarray]
) -> None:
    tree, table = case.tree, random_table(case.tree, 0)
    own, other = tree.infosets_of(1), tree.infosets_of(0)
    sink = sinks.make_sink(tree, NeuPLConfig(sink=write(tree, 1, table)))
    np.testing.assert_allclose(sink[own], table[own], atol=1e-12)
    np.testing.assert_array_equal(sink[other], tree.uniform_policy()[other])
    both = f"{write(tree, 1, table)}, {write(tree, 0, table)}"
    np.testing.assert_allclose(sinks.make_sink(tree, NeuPLConfig(sink=both)), table, atol=1e-12)


@pytest.mark.games("kuhn")
def test_policies_of_other_kinds_are_sinks_too(case: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "uniform.npz"
    stored.write(path, decoders.uniform("kuhn_poker()", 0))
    sink = sinks.make_sink(case.tree, NeuPLConfig(sink=str(path)))
    np.testing.assert_array_equal(sink, case.tree.uniform_policy())


@pytest.mark.games("goofspiel", "kuhn")
def test_players_share_members_in_symmetric_games_with_the_same_sinks(
    case: Any, write: Write, random_table: Callable[[GameTree, int], np.ndarray]
) -> None:
    tree = case.tree
    named = [sinks.make_sink(tree, NeuPLConfig(sink=name)) for name in ("uniform", "first_actions")]
    counterparts = find_counterparts(tree)
    if counterparts is None:
        assert [sinks.find_shared(tree, sink) for sink in named] == [None, None]
        return
    for sink in named:
        np.testing.assert_array_equal(sinks.find_shared(tree, sink), counterparts)
    table = random_table(tree, 0)
    one = write(tree, 0, table)
    assert sinks.find_shared(tree, sinks.make_sink(tree, NeuPLConfig(sink=one))) is None
    both = f"{one},{write(tree, 1, table[counterparts])}"
    assert sinks.find_shared(tree, sinks.make_sink(tree, NeuPLConfig(sink=both))) is not None


@pytest.mark.games("kuhn")
def test_settings_name_files_for_good(case: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pathlib.Path(write(case.tree, 0, case.tree.uniform_policy()))
    monkeypatch.chdir(path.parent)
    found = sinks.settle({"sink": path.name, "population_size": 3})
    digest = stored.digest(stored.read(path))
    assert found == {"sink": str(path), "sink_digest": digest, "population_size": 3}
    assert sinks.settle(found) == found
    assert sinks.settle({"graph": "cycle"}) == {"graph": "cycle"}
    # The digest of a file says nothing of a sink with a name. What is no sink is refused elsewhere.
    assert sinks.settle({"sink": "uniform", "sink_digest": digest}) == {"sink": "uniform"}
    assert sinks.settle({"sink": 3}) == {"sink": 3}


@pytest.mark.games("kuhn")
def test_a_file_that_has_changed_is_noticed(
    case: Any, write: Write, random_table: Callable[[GameTree, int], np.ndarray]
) -> None:
    path = write(case.tree, 0, random_table(case.tree, 0))
    settled = sinks.settle({"sink": path})
    config = NeuPLConfig(**settled)
    assert list(sinks.read_sinks(config, "kuhn_poker()")) == [0]
    write(case.tree, 0, random_table(case.tree, 1))
    for use in (lambda: sinks.settle(settled), lambda: sinks.read_sinks(config, "kuhn_poker()")):
        with pytest.raises(ValueError, match=r"is not the policy whose digest is neupl\.sink_digest"):
            use()


@pytest.mark.games("kuhn")
def test_files_that_do_not_fit_are_one_line(case: Any, write: Write, tmp_path: pathlib.Path) -> None:
    tree = case.tree
    fine = write(tree, 0, tree.uniform_policy())
    broken, third = tmp_path / "broken.npz", tmp_path / "third.npz"
    broken.write_bytes(b"no policy")
    stored.write(third, decoders.uniform("kuhn_poker()", 2))
    for sink, game, message in (
        (str(tmp_path / "missing.npz"), "kuhn_poker()", "missing.npz cannot be read: No such file"),
        (str(broken), "kuhn_poker()", "is no stored policy, or was truncated or altered"),
        (fine, "leduc_poker()", r"plays kuhn_poker\(\), not leduc_poker\(\): do not mix games"),
        (f"{fine},{fine}", "kuhn_poker()", "both files of the sink are of player 0: name one a player"),
        (str(third), "kuhn_poker()", "is of player 2: the players are 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message) as refused:
            sinks.read_sinks(NeuPLConfig(sink=sink), game)
        assert "\n" not in str(refused.value)
