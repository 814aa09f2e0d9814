"""Tests of compiled games on disk: a read returns the stored game, or nothing."""

import dataclasses
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acme_psro.games import cache, walk
from acme_psro.games.compile import compile_game
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph
from acme_psro.games.loading import GameError
from acme_psro.games.tree import GameTree
from tests.acme_psro.games.graphs import ACYCLIC, CYCLIC, graph_of, tree_of


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for every test."""
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path / "games"))
    return tmp_path / "games"


def assert_same(one: GameTree, other: GameTree) -> None:
    for field in dataclasses.fields(GameTree):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if field.name == "level_offsets":
            assert len(left) == len(right)
            for mine, theirs in zip(left, right, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        elif isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


def forbid_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    def walked(*_: object) -> None:
        raise AssertionError("the game was walked again")

    monkeypatch.setattr(walk, "enumerate_game", walked)


def test_every_field_survives(case: Any) -> None:
    cache.write(case.tree)
    kept = cache.read(case.tree.game_string)
    assert kept is not None
    assert_same(kept, case.tree)


def test_a_game_is_walked_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_game("kuhn_poker")
    assert len(list(root.glob("*.npz"))) == 1
    forbid_enumeration(monkeypatch)
    assert_same(compile_game("kuhn_poker"), first)
    assert_same(compile_game("kuhn_poker()"), first)


def test_without_cache_nothing_is_read_or_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_game("kuhn_poker", cache=False)
    assert not list(root.glob("*.npz"))
    compile_game("kuhn_poker")
    forbid_enumeration(monkeypatch)
    with pytest.raises(AssertionError, match="walked again"):
        compile_game("kuhn_poker", cache=False)


def test_different_games_are_different_files() -> None:
    strings = ["kuhn_poker()", "kuhn_poker(players=3)", "leduc_poker()"]
    assert len({cache.path_of(string) for string in strings}) == 3


def test_another_openspiel_is_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache.path_of("kuhn_poker()")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.0.1")
    assert cache.path_of("kuhn_poker()") != here
    assert cache.read("kuhn_poker()") is None


def test_limit_holds_for_kept_games() -> None:
    compile_game("kuhn_poker", max_nodes=58)
    with pytest.raises(GameError, match="more than 57 nodes"):
        compile_game("kuhn_poker", max_nodes=57)


def test_refused_games_are_not_kept(root: Path) -> None:
    with pytest.raises(GameError):
        compile_game("leduc_poker", max_nodes=100)
    assert not list(root.glob("*.npz"))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_ignored(fraction: float) -> None:
    tree = compile_game("kuhn_poker")
    path = cache.path_of(tree.game_string)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    assert cache.read(tree.game_string) is None
    assert_same(compile_game("kuhn_poker"), tree)
    # The next call finds a complete file again.
    assert cache.read(tree.game_string) is not None


@pytest.mark.parametrize("flip", [0x01, 0xFF])
def test_altered_files_are_ignored_or_do_no_harm(flip: int) -> None:
    """For any damaged byte, the result is the game or nothing."""
    tree = compile_game("matrix_mp")
    path = cache.path_of(tree.game_string)
    whole = path.read_bytes()
    # All bytes of the zip file's directory, which is at its end, and samples of the rest.
    places = {*range(0, len(whole), 23), *range(len(whole) - 250, len(whole))}
    for place in sorted(places):
        damaged = bytearray(whole)
        damaged[place] ^= flip
        path.write_bytes(damaged)
        kept = cache.read(tree.game_string)
        if kept is not None:
            assert_same(kept, tree)


def test_a_file_under_the_name_of_another_game_is_ignored() -> None:
    kuhn, leduc = compile_game("kuhn_poker"), compile_game("matrix_rps")
    cache.path_of(kuhn.game_string).write_bytes(cache.path_of(leduc.game_string).read_bytes())
    assert cache.read(kuhn.game_string) is None
    assert compile_game("kuhn_poker").num_nodes == 58


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04"])
def test_other_files_are_ignored(content: bytes, root: Path) -> None:
    root.mkdir()
    cache.path_of("kuhn_poker()").write_bytes(content)
    assert cache.read("kuhn_poker()") is None


def test_files_without_some_array_are_ignored() -> None:
    tree = compile_game("kuhn_poker")
    path = cache.path_of(tree.game_string)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored if name != "reward"}
    np.savez(path, **arrays)
    assert cache.read(tree.game_string) is None


def test_a_cache_that_cannot_be_written_is_no_error(root: Path) -> None:
    # A file in the place of the directory: not even root can write below it.
    root.write_text("in the way")
    assert compile_game("kuhn_poker").num_nodes == 58
    assert root.read_text() == "in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_is_no_error(root: Path) -> None:
    root.mkdir(mode=0o500)
    assert compile_game("kuhn_poker").num_nodes == 58
    assert not list(root.iterdir())


def test_leaves_no_temporary_files(root: Path) -> None:
    compile_game("kuhn_poker")
    compile_game("matrix_rps")
    assert {file.suffix for file in root.iterdir() if file.is_file()} == {".npz"}


EXTENSIVE = """EFG 2 R "choice" { "A" "B" } ""
p "" 1 1 "" { "l" "r" } 0
t "" 1 "" { %d, 0 }
t "" 2 "" { 0, 1 }
"""


def test_a_game_from_a_file_follows_the_file(tmp_path: Path) -> None:
    """The game string stays the same if the content of the file changes."""
    path = tmp_path / "game.efg"
    path.write_text(EXTENSIVE % 1)
    assert compile_game(f"efg_game(filename={path})").utility_scale == 1.0
    path.write_text(EXTENSIVE % 7)
    assert compile_game(f"efg_game(filename={path})").utility_scale == 7.0


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ACME_PSRO_CACHE": "/a"}, "/a"),
        ({"ACME_PSRO_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/acme_psro"),
        ({"HOME": "/c"}, "/c/.cache/acme_psro"),
        ({"HOME": "/c", "ACME_PSRO_CACHE": "", "XDG_CACHE_HOME": ""}, "/c/.cache/acme_psro"),
    ],
)
def test_directory(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACME_PSRO_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.directory() == Path(expected)


# Graphs.


@pytest.mark.parametrize("game", [*ACYCLIC, *CYCLIC])
def test_every_field_of_a_graph_survives(game: str) -> None:
    graph = graph_of(game)
    cache.write(graph)
    kept = cache.read_graph(graph.game_string)
    assert kept is not None
    for field in dataclasses.fields(GameGraph):
        mine, theirs = getattr(graph, field.name), getattr(kept, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs
    assert kept.digest == graph.digest


def test_trees_and_graphs_of_a_game_are_different_files() -> None:
    cache.write(graph_of("kuhn_poker"))
    assert cache.read("kuhn_poker()") is None
    assert cache.path_of("kuhn_poker()") != cache.path_of_graph("kuhn_poker()")


@pytest.mark.parametrize("damage", ["truncated", "altered", "of another game", "a tree", "empty"])
def test_damaged_graphs_are_ignored(damage: str) -> None:
    graph = graph_of("kuhn_poker")
    cache.write(graph)
    path = cache.path_of_graph(graph.game_string)
    content = path.read_bytes()
    match damage:
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "altered":
            # A byte in the middle of the file's arrays.
            at = content.index(graph.reward.tobytes())
            path.write_bytes(content[: at + 6] + bytes([content[at + 6] ^ 1]) + content[at + 7 :])
        case "of another game":
            cache.write(graph_of("coordinated_mp"))
            path.write_bytes(cache.path_of_graph(graph_of("coordinated_mp").game_string).read_bytes())
        case "a tree":
            cache.write(tree_of("kuhn_poker"))
            path.write_bytes(cache.path_of("kuhn_poker()").read_bytes())
        case "empty":
            path.write_bytes(b"")
    assert cache.read_graph(graph.game_string) is None
    # It is compiled and stored again.
    assert compile_graph("kuhn_poker").digest == graph.digest
    assert cache.read_graph(graph.game_string) is not None


def test_a_kept_graph_that_does_not_play_like_the_game_is_not_used() -> None:
    graph = graph_of("kuhn_poker")
    for spoiled in (
        dataclasses.replace(graph, reward=2 * graph.reward),
        dataclasses.replace(graph, seen_by="observations of the moon"),
    ):
        cache.write(spoiled)
        assert cache.read_graph(graph.game_string) is not None
        assert compile_graph("kuhn_poker").digest == graph.digest
