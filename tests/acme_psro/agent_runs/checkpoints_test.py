"""Tests of the checkpoints of a run of one agent."""

import pathlib
import pickle
import shutil
import sys
from typing import Any, NamedTuple, NoReturn

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer, which brings Orbax, ends at Python 3.10", allow_module_level=True)

import jax
import numpy as np

from acme_psro.agent_runs.checkpoints import CheckpointError, Saved, open_checkpoints


class State(NamedTuple):
    """As a learner's: nested, of several types, with what is no array."""

    params: dict[str, np.ndarray]
    key: np.ndarray
    step: np.int32


def state_at(step: int, width: int = 256) -> State:
    rng = np.random.default_rng(step)
    params = {"linear/~/w": rng.normal(size=(width, 8)).astype(np.float32), "b": np.zeros(8, np.float32)}
    return State(params, rng.integers(2**32, size=2, dtype=np.uint32), np.int32(step))


def counts_at(step: int) -> dict[str, float]:
    return {"actor_steps": float(step), "learner_gradient_steps": 4.0 * step, "training_seconds": 0.1 + step}


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "run" / "checkpoints"


@pytest.fixture
def filled(directory: pathlib.Path) -> pathlib.Path:
    """Three saves, of which two are kept."""
    with open_checkpoints(directory) as checkpoints:
        for step in (10, 20, 30):
            checkpoints.save(Saved(state_at(step), counts_at(step)))
    return directory


def assert_is(saved: Saved | None, step: int) -> None:
    """Bit for bit, in structure, types and counts."""
    assert saved is not None
    assert saved.counts == counts_at(step)
    expected = state_at(step)
    assert jax.tree.structure(saved.state) == jax.tree.structure(expected)
    for found, leaf in zip(jax.tree.leaves(saved.state), jax.tree.leaves(expected), strict=True):
        assert (found.dtype, found.shape) == (leaf.dtype, leaf.shape)
        assert found.tobytes() == leaf.tobytes()


def restored(directory: pathlib.Path, like: Any = None) -> Saved | None:
    with open_checkpoints(directory) as checkpoints:
        return checkpoints.restore(state_at(0) if like is None else like)


def steps_in(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def largest(directory: pathlib.Path) -> pathlib.Path:
    return max(
        (path for path in directory.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )


def test_where_there_is_none_there_is_nothing_to_go_on_from(directory: pathlib.Path) -> None:
    with open_checkpoints(directory) as checkpoints:
        assert checkpoints.restore(state_at(0)) is None
        assert checkpoints.read_counts() == {}


def test_the_newest_comes_back_bit_for_bit_and_the_oldest_are_dropped(filled: pathlib.Path) -> None:
    assert_is(restored(filled), 30)
    assert steps_in(filled) == ["20", "30"]
    with open_checkpoints(filled) as checkpoints:
        assert checkpoints.read_counts() == counts_at(30)


def test_what_is_saved_is_seen_at_once(directory: pathlib.Path) -> None:
    with open_checkpoints(directory) as checkpoints:
        for step in (1, 2):
            checkpoints.save(Saved(state_at(step), counts_at(step)))
            assert_is(checkpoints.restore(state_at(0)), step)


def test_at_the_same_steps_the_first_stays(filled: pathlib.Path) -> None:
    with open_checkpoints(filled) as checkpoints:
        checkpoints.save(Saved(state_at(31), counts_at(30)))
    assert_is(restored(filled), 30)


def test_a_state_before_the_first_step_can_be_kept(directory: pathlib.Path) -> None:
    with open_checkpoints(directory) as checkpoints:
        checkpoints.save(Saved(state_at(0), {}))
        found = checkpoints.restore(state_at(1))
    assert found is not None
    assert found.counts == {}
    assert steps_in(directory) == ["0"]


def harm(path: pathlib.Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "altered", "gone"])
@pytest.mark.parametrize("what", ["arrays", "about"])
def test_a_newest_one_that_is_not_whole_falls_back_to_the_one_before(
    filled: pathlib.Path, how: str, what: str
) -> None:
    harm(largest(filled / "30" / "state") if what == "arrays" else filled / "30" / "about" / "metadata", how)
    with open_checkpoints(filled) as checkpoints:
        assert checkpoints.read_counts() == counts_at(20)
    assert_is(restored(filled), 20)
    # A run that goes on writes new ones, those at the same steps included.
    with open_checkpoints(filled) as checkpoints:
        for step in (25, 30):
            checkpoints.save(Saved(state_at(step), counts_at(step)))
    assert_is(restored(filled), 30)


def test_no_flipped_bit_is_ever_taken_for_what_was_written(
    filled: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    rng = np.random.default_rng(0)
    outcomes = set()
    for number, path in enumerate(sorted(filled.rglob("30/**/*"))):
        if not path.is_file():
            continue
        copy = shutil.copytree(filled, tmp_path / str(number))
        data = bytearray(path.read_bytes())
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (copy / path.relative_to(filled)).write_bytes(data)
        found = restored(copy)
        assert found is not None
        step = int(found.counts["actor_steps"])
        assert_is(found, step)
        outcomes.add(step)
    assert outcomes == {20, 30}


def test_where_none_is_whole_that_is_said_in_one_line(filled: pathlib.Path) -> None:
    for step in ("20", "30"):
        harm(largest(filled / step), "altered")
    with open_checkpoints(filled) as checkpoints:
        for call in (checkpoints.read_counts, lambda: checkpoints.restore(state_at(0))):
            with pytest.raises(
                CheckpointError, match=r"^none of the 2 checkpoints is whole.*--output_dir\.$"
            ):
                call()
    assert steps_in(filled) == ["20", "30"]


@pytest.mark.parametrize(
    "like",
    [
        state_at(0, width=16),
        state_at(0)._replace(step=np.float32(0)),
        state_at(0)._replace(key=np.zeros(2, np.int32)),
        state_at(0)._asdict(),
        tuple(jax.tree.leaves(state_at(0))),
    ],
    ids=["width", "scalar", "type", "mapping", "leaves"],
)
def test_another_agents_state_is_refused_in_one_line(filled: pathlib.Path, like: Any) -> None:
    with pytest.raises(
        CheckpointError, match=r"^checkpoint 30 is of another agent or of other networks; .*$"
    ):
        restored(filled, like)
    assert_is(restored(filled), 30)


def test_what_a_killed_run_was_writing_is_no_checkpoint(filled: pathlib.Path) -> None:
    """Orbax writes under a name of its own, which is all that there is until the directory is whole."""
    half = filled / "40.orbax-checkpoint-tmp-123"
    shutil.copytree(filled / "30", half)
    largest(half).unlink()
    assert_is(restored(filled), 30)
    with open_checkpoints(filled) as checkpoints:
        checkpoints.save(Saved(state_at(40), counts_at(40)))
    assert_is(restored(filled), 40)


def test_nothing_is_pickled(filled: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert_is(restored(filled), 30)
    for path in filled.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            # Every protocol since 2 begins so; arrays of objects would name the module.
            assert not data.startswith(b"\x80")
            assert b"pickle" not in data
