"""Tests of acme_psro.storage.checkpoint: what is saved comes back, and what is broken is passed over."""

import dataclasses
import functools
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.oracles.base import Counts
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Format, Record


@functools.cache
def _tree(game: str = "kuhn_poker") -> GameTree:
    return compile_game(game, cache=False)


def _form(game: str = "kuhn_poker") -> Format:
    return formats.of_tree(_tree(game))


@functools.cache
def _records(game: str = "kuhn_poker", solver: str = "nash") -> tuple[Record, ...]:
    """Records of a run of five iterations with the exact oracle, before and after each."""
    tree = _tree(game)
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver(solver))
    state = loop.initialise(meta_game, psro)
    records = [Record(state, [_row(0)], [state.meta_strategy])]
    oracle = exact.make_oracle(tree)
    for iteration in range(5):
        key = loop.iteration_key(0, iteration)
        state = loop.step(state, key, oracle=oracle, meta_game=meta_game, loop=psro)
        state = dataclasses.replace(state, counts=Counts(100 * (iteration + 1), 7, 3))
        last = records[-1]
        records.append(
            Record(
                state,
                [*last.metrics, _row(iteration + 1)],
                [*last.meta_strategies, state.meta_strategy],
            )
        )
    return tuple(records)


def _row(iteration: int) -> dict[str, float]:
    return {"iteration": iteration, "nash_conv": 0.1 + 0.2 / (iteration + 1), "gap_0": float("nan")}


def _save(directory: pathlib.Path, last: int, **run: str) -> None:
    for record in _records(**run)[: last + 1]:
        checkpoint.save(directory, record, _form(run.get("game", "kuhn_poker")))


def _restore(directory: pathlib.Path, game: str = "kuhn_poker") -> tuple[Record, list[str]]:
    warnings: list[str] = []
    return checkpoint.restore(directory, _form(game), warnings.append), warnings


def _assert_same(restored: Record, saved: Record) -> None:
    """Everything, bit for bit; the last responses are not kept."""
    # As text, since what is not a number does not equal itself; the order of columns counts.
    assert repr(restored.metrics) == repr(saved.metrics)
    assert len(restored.meta_strategies) == len(saved.meta_strategies)
    ours, theirs = restored.state, saved.state
    strategies = zip(
        [*restored.meta_strategies, ours.meta_strategy],
        [*saved.meta_strategies, theirs.meta_strategy],
        strict=True,
    )
    for one, other in strategies:
        for marginal, expected in zip(one.marginals, other.marginals, strict=True):
            np.testing.assert_array_equal(marginal, expected)
    np.testing.assert_array_equal(ours.payoffs, theirs.payoffs)
    assert ours.iteration == theirs.iteration
    assert ours.counts == theirs.counts
    for population, expected in zip(ours.populations, theirs.populations, strict=True):
        assert len(population) == len(expected)
        for policy, other in zip(population, expected, strict=True):
            np.testing.assert_array_equal(policy.table, other.table)
            np.testing.assert_array_equal(policy.plan, other.plan)
    assert ours.responses == ()


@pytest.mark.parametrize("last", [0, 1, 5])
def test_what_is_saved_comes_back(tmp_path: pathlib.Path, last: int) -> None:
    _save(tmp_path, last)
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[last])
    assert warnings == []


def test_joint_meta_strategies_come_back_beside_products(tmp_path: pathlib.Path) -> None:
    joint = JointStrategy(np.array([[0, 1], [1, 0]]), np.array([0.25, 0.75]))
    last = _records()[2]
    state = dataclasses.replace(last.state, meta_strategy=joint)
    record = Record(state, last.metrics, [*last.meta_strategies[:-1], joint])
    checkpoint.save(tmp_path, record, _form())
    restored, _ = _restore(tmp_path)
    assert isinstance(restored.state.meta_strategy, JointStrategy)
    np.testing.assert_array_equal(restored.state.meta_strategy.profiles, joint.profiles)
    np.testing.assert_array_equal(restored.state.meta_strategy.probabilities, joint.probabilities)
    for one, other in zip(restored.meta_strategies[:2], last.meta_strategies[:2], strict=True):
        assert isinstance(one, ProductStrategy) and isinstance(other, ProductStrategy)
        for marginal, expected in zip(one.marginals, other.marginals, strict=True):
            np.testing.assert_array_equal(marginal, expected)


def test_three_players_of_a_general_solver_come_back(tmp_path: pathlib.Path) -> None:
    run = {"game": "kuhn_poker(players=3)", "solver": "regret_matching"}
    _save(tmp_path, 3, **run)
    restored, _ = _restore(tmp_path, run["game"])
    _assert_same(restored, _records(**run)[3])


def test_the_last_three_are_kept_and_every_policy(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 5)
    states = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert states == [f"state_0000{i}.{kind}" for i in (3, 4, 5) for kind in ("json", "npz")]
    sizes = [len(population) for population in _records()[5].state.populations]
    policies = {path.name for path in (tmp_path / "policies").iterdir()}
    assert policies == {f"player_{p}_{k:05d}.npz" for p, size in enumerate(sizes) for k in range(size)}


def test_a_policy_is_written_once(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "policies").iterdir()}
    _save(tmp_path, 3)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_exists_tells_whether_there_was_one_whole_or_not(tmp_path: pathlib.Path) -> None:
    assert not checkpoint.exists(tmp_path / "nowhere")
    assert not checkpoint.exists(tmp_path)
    (tmp_path / "state_00001.npz").write_bytes(b"arrays without a manifest")
    assert not checkpoint.exists(tmp_path)
    (tmp_path / "state_00001.json").write_text("{")
    assert checkpoint.exists(tmp_path)


def _halve(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: pathlib.Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def _improve(path: pathlib.Path) -> None:
    """Makes the last NashConv in a manifest look better."""
    manifest = json.loads(path.read_bytes())
    manifest["metrics"][-1]["nash_conv"] = 0.0
    path.write_text(json.dumps(manifest, indent=1))


def _write(text: str) -> Callable[[pathlib.Path], None]:
    return lambda path: path.write_text(text) and None


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("state_00005.npz", _halve),
        ("state_00005.npz", _flip),
        ("state_00005.npz", _empty),
        ("state_00005.npz", pathlib.Path.unlink),
        ("state_00005.json", _halve),
        ("state_00005.json", _flip),
        ("state_00005.json", _empty),
        ("state_00005.json", _improve),
        ("state_00005.json", _write("{}")),
        ("state_00005.json", _write("[]")),
        ("state_00005.json", _write("null")),
        ("state_00005.json", _write('"text"')),
        ("state_00005.json", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("policies/player_1_00004.npz", _halve),
        ("policies/player_1_00004.npz", _flip),
        ("policies/player_1_00004.npz", pathlib.Path.unlink),
    ],
)
def test_a_broken_checkpoint_is_passed_over_with_one_line_that_names_it(
    tmp_path: pathlib.Path, file: str, harm: Callable[[pathlib.Path], Any]
) -> None:
    _save(tmp_path, 5)
    assert [len(_records()[i].state.populations[1]) for i in (4, 5)] == [4, 5]
    harm(tmp_path / file)
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[4])
    assert len(warnings) == 1
    assert "state_00005" in warnings[0]
    assert "\n" not in warnings[0]


def test_two_broken_checkpoints_are_passed_over(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 5)
    _halve(tmp_path / "state_00005.json")
    _flip(tmp_path / "state_00004.npz")
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[3])
    assert ["state_00005" in warnings[0], "state_00004" in warnings[1]] == [True, True]


def test_where_none_is_whole_that_is_the_error(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 5)
    _flip(tmp_path / "policies" / "player_0_00000.npz")
    before = _contents(tmp_path)
    with pytest.raises(
        checkpoint.CheckpointError, match=r"no checkpoint in .* is whole \(3 tried\)"
    ) as refusal:
        _restore(tmp_path)
    assert "\n" not in str(refusal.value)
    assert _contents(tmp_path) == before


def test_where_there_is_none_that_is_the_error(tmp_path: pathlib.Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(checkpoint.CheckpointError, match="this run has no checkpoint yet"):
            _restore(directory)


_NOT_OURS = ("state_00003 (1).json", "state_3.json", "state_00004.json.bak", "xstate_00004.json", ".tmp")


def test_files_that_only_look_like_checkpoints_are_left_alone(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 3)
    copies = [tmp_path / name for name in _NOT_OURS]
    copies += [
        tmp_path / "policies" / name for name in ("notes.txt", "player_0_00009 (1).npz", "a.npz", ".x.tmp")
    ]
    for copy in copies:
        copy.write_text("mine")
    folders = [tmp_path / "state_00009.json", tmp_path / "policies" / ".ipynb_checkpoints"]
    folders += [tmp_path / "policies" / "player_0_00077.npz"]
    for folder in folders:
        folder.mkdir()
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[3])
    assert warnings == []
    checkpoint.prune(tmp_path, restored)
    _save(tmp_path, 5)
    assert [path for path in copies if path.read_text() != "mine"] == []
    assert all(folder.is_dir() for folder in folders)
    _assert_same(_restore(tmp_path)[0], _records()[5])


@pytest.mark.parametrize(
    ("removed", "after", "expected"),
    [
        ("state_00002.json", "state_00002.json", 1),
        ("state_00002.npz", "state_00002.json", 1),
        # All that a running run removes has been read.
        ("state_00002.json", "state_00002.npz", 2),
        ("state_00002.json", "policies/player_0_00000.npz", 2),
        ("state_00002.npz", "policies/player_0_00000.npz", 2),
        ("policies/player_1_00002.npz", "policies/player_1_00001.npz", 1),
    ],
)
def test_a_file_that_disappears_while_others_are_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, removed: str, after: str, expected: int
) -> None:
    """The file `removed` disappears when the file `after` is opened."""
    _save(tmp_path, 2)
    assert (tmp_path / removed).exists() and (tmp_path / after).exists()
    read_bytes = pathlib.Path.read_bytes

    def disappear(path: pathlib.Path) -> bytes:
        if path == tmp_path / after:
            (tmp_path / removed).unlink(missing_ok=True)
        return read_bytes(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", disappear)
    assert _restore(tmp_path)[0].state.iteration == expected


def test_where_all_that_were_listed_are_gone_the_directory_is_listed_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is faster than its reader."""
    _save(tmp_path, 2)
    read_bytes, last = pathlib.Path.read_bytes, [2]

    def overtake(path: pathlib.Path) -> bytes:
        if path.name == "state_00002.json" and last == [2]:
            last[0] = 5
            with monkeypatch.context() as patched:
                patched.setattr(pathlib.Path, "read_bytes", read_bytes)
                _save(tmp_path, 5)
        return read_bytes(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", overtake)
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[5])
    assert warnings == []


def _contents(directory: pathlib.Path) -> dict[pathlib.Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _sign(path: pathlib.Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Alters a manifest and makes its digest fit again, as one who knows the format could."""
    manifest = json.loads(path.read_bytes())
    del manifest["sha256"]
    change(manifest)
    canonical = json.dumps(manifest, sort_keys=True).encode()
    path.write_text(json.dumps({**manifest, "sha256": hashlib.sha256(canonical).hexdigest()}))


def test_another_version_is_passed_over_and_named(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 2)
    _sign(tmp_path / "state_00002.json", lambda manifest: manifest.update(version=checkpoint.VERSION + 1))
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[1])
    assert f"version {checkpoint.VERSION + 1}" in warnings[0]


def test_a_checkpoint_of_another_game_does_not_fit(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 1)
    warnings: list[str] = []
    with pytest.raises(checkpoint.GameChangedError, match="the game is no longer the one"):
        checkpoint.restore(tmp_path, _form("matrix_rps"), warnings.append)
    assert warnings == []


def test_a_checkpoint_of_an_earlier_version_without_the_games_content_is_checked_by_its_policies(
    tmp_path: pathlib.Path,
) -> None:
    _save(tmp_path, 1)
    for path in tmp_path.glob("state_*.json"):
        _sign(path, lambda manifest: manifest.pop("game"))
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[1])
    assert warnings == []
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.restore(tmp_path, _form("matrix_rps"), warnings.append)
    assert len(warnings) == 2
    assert all("does not fit the game" in line for line in warnings)


class _Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: pathlib.Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize(
    ("file", "field"), [("policies/player_0_00000.npz", "table"), ("state_00002.npz", "payoffs")]
)
def test_pickles_are_never_loaded_however_well_signed(tmp_path: pathlib.Path, file: str, field: str) -> None:
    directory, mark = tmp_path / "checkpoints", tmp_path / "exploded"
    _save(directory, 2)
    path, buffer = directory / file, io.BytesIO()
    with np.load(path) as stored:
        arrays: dict[str, Any] = dict(stored)
    bomb = np.empty(1, object)
    bomb[0] = _Bomb(mark)
    np.savez_compressed(buffer, **{**arrays, field: bomb})
    path.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    for manifest in directory.glob("state_*.json"):
        if file in json.loads(manifest.read_bytes())["files"]:
            _sign(manifest, lambda content: content["files"].update({file: digest}))
    warnings: list[str] = []
    if file.startswith("policies"):
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.restore(directory, _form(), warnings.append)
        assert len(warnings) == 3
    else:
        _assert_same(checkpoint.restore(directory, _form(), warnings.append), _records()[1])
        assert len(warnings) == 1
    assert not mark.exists()


def test_files_hold_no_objects(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 2)
    for path in tmp_path.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as stored:
            assert all(stored[name].dtype != object for name in stored.files)


class _Killed(BaseException):
    """Nothing that the code could catch as an error."""


@pytest.mark.parametrize("survived", range(4))
def test_a_run_killed_while_it_writes_keeps_the_checkpoint_before(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    _save(tmp_path, 1)
    before = _contents(tmp_path)
    replace, calls = os.replace, []

    def killed(source: Any, target: Any) -> None:
        if len(calls) == survived:
            raise _Killed
        calls.append(target)
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(_Killed):
        patched.setattr(os, "replace", killed)
        # Two policies, the arrays and the manifest.
        checkpoint.save(tmp_path, _records()[2], _form())
    after = _contents(tmp_path)
    assert {path: after.get(path) for path in before} == before
    assert len(after) == len(before) + survived
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[1])
    assert warnings == []
    checkpoint.prune(tmp_path, restored)
    _save(tmp_path, 5)
    _assert_same(_restore(tmp_path)[0], _records()[5])


def test_what_a_killed_process_left_half_written_is_not_taken_for_a_checkpoint(
    tmp_path: pathlib.Path,
) -> None:
    _save(tmp_path, 1)
    for name in (
        ".state_00002.json.0123.tmp",
        ".state_00002.npz.0123.tmp",
        "policies/.player_0_00002.npz.1.tmp",
    ):
        (tmp_path / name).write_bytes(b"half")
    restored, warnings = _restore(tmp_path)
    _assert_same(restored, _records()[1])
    assert warnings == []
    checkpoint.prune(tmp_path, restored)
    assert not (tmp_path / "policies" / ".player_0_00002.npz.1.tmp").exists()


def test_prune_removes_what_the_record_does_not_stand_on(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 5)
    _halve(tmp_path / "state_00005.json")
    _halve(tmp_path / "state_00004.npz")
    restored, _ = _restore(tmp_path)
    checkpoint.prune(tmp_path, restored)
    states = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert states == ["state_00003.json", "state_00003.npz"]
    sizes = [len(population) for population in _records()[3].state.populations]
    policies = {path.name for path in (tmp_path / "policies").iterdir()}
    assert policies == {f"player_{p}_{k:05d}.npz" for p, size in enumerate(sizes) for k in range(size)}
    # The run goes on and writes anew what was removed.
    for record in _records()[4:]:
        checkpoint.save(tmp_path, record, _form())
    again, warnings = _restore(tmp_path)
    _assert_same(again, _records()[5])
    assert warnings == []


def test_prune_after_an_altered_policy_has_it_written_anew(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 5)
    _flip(tmp_path / "policies" / "player_1_00004.npz")
    restored, _ = _restore(tmp_path)
    checkpoint.prune(tmp_path, restored)
    checkpoint.save(tmp_path, _records()[5], _form())
    _assert_same(_restore(tmp_path)[0], _records()[5])
