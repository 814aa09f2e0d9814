"""Checkpoints of self-play runs: whole or not used, and the newest two kept."""

import math
import pathlib

import numpy as np
import pytest

from acme_psro.self_play_runs import checkpoint
from acme_psro.self_play_runs.checkpoint import CheckpointError, Saved


def _saved(number: int) -> Saved:
    arrays = {"leaf_0": np.arange(3, dtype=np.float32) + number, "leaf_1": np.array(number, np.int32)}
    return Saved(
        {"game": "digest", "updates": number, "sums": {"loss": 0.1 + number, "kl": math.nan}}, arrays
    )


def _restore(directory: pathlib.Path, game: str = "digest") -> tuple[Saved | None, list[str]]:
    warnings: list[str] = []
    return checkpoint.restore(directory, game, warnings.append), warnings


def _write(directory: pathlib.Path, *numbers: int) -> list[pathlib.Path]:
    for number in numbers:
        checkpoint.save(directory, number, _saved(number))
    return sorted(directory.glob("*.npz"))


def test_the_newest_is_restored_to_the_last_digit(tmp_path: pathlib.Path) -> None:
    assert not checkpoint.exists(tmp_path / "none") and _restore(tmp_path / "none") == (None, [])
    files = _write(tmp_path, 1, 2, 30)
    assert [path.name for path in files] == ["state_0000000002.npz", "state_0000000030.npz"]
    restored, warnings = _restore(tmp_path)
    assert restored is not None and warnings == [] and checkpoint.exists(tmp_path)
    assert restored.about["sums"]["loss"] == 30.1 and math.isnan(restored.about["sums"]["kl"])
    for name, array in _saved(30).arrays.items():
        np.testing.assert_array_equal(restored.arrays[name], array)
        assert restored.arrays[name].dtype == array.dtype


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path: pathlib.Path, damage: str) -> None:
    _, newest = _write(tmp_path, 1, 2)
    content = newest.read_bytes()
    position = content.index(_saved(2).arrays["leaf_0"].tobytes())
    changed = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
    newest.write_bytes({"truncated": content[:-40], "altered": changed, "empty": b""}[damage])
    restored, warnings = _restore(tmp_path)
    assert restored is not None and restored.about["updates"] == 1
    assert warnings == ["state_0000000002.npz is truncated or altered, and is not used."]
    # It would be taken for newer than those that follow.
    assert not newest.exists()


def test_leftovers_of_a_killed_process_are_removed_and_other_files_are_not(tmp_path: pathlib.Path) -> None:
    _write(tmp_path, 1)
    unfinished, notes = tmp_path / ".state_0000000002.npz.0a1b.tmp", tmp_path / "notes.txt"
    unfinished.touch()
    notes.touch()
    _restore(tmp_path)
    assert not unfinished.exists() and notes.exists()


def test_if_none_is_whole_the_user_is_told(tmp_path: pathlib.Path) -> None:
    for path in _write(tmp_path, 1, 2):
        path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole \(2 tried\)"):
        _restore(tmp_path)


def test_a_game_that_has_changed_is_refused(tmp_path: pathlib.Path) -> None:
    _write(tmp_path, 1)
    with pytest.raises(CheckpointError, match="the game is no longer the one"):
        _restore(tmp_path, "another")
