"""Tests of a program's snapshots: when they are due, how they are found, and what a resumed run keeps."""

import pathlib

import pytest

from acme_psro.agent_runs.program import snapshots
from acme_psro.policies import stored
from acme_psro.policies.stored import StoredPolicy

POLICY = StoredPolicy({"kind": "uniform", "game": "kuhn_poker()", "player": 0}, {})


def steps_of(directory: pathlib.Path) -> list[int]:
    return [int(path.stem.removeprefix("policy_")) for path in snapshots.find(directory)]


def test_snapshots_are_stored_policies_oldest_first(tmp_path: pathlib.Path) -> None:
    assert snapshots.find(tmp_path) == ()
    for steps in (2000.0, 10_000_000_000_000.0, 300.0):
        snapshots.write(tmp_path, steps, POLICY)
    # What others put there, or an interrupted writer left, is no snapshot.
    for name in ("policy_final.npz", "policy_000000000400.npz.tmp", "notes.txt"):
        (tmp_path / "snapshots" / name).touch()
    assert steps_of(tmp_path) == [300, 2000, 10_000_000_000_000]
    assert all(stored.read(path).about == POLICY.about for path in snapshots.find(tmp_path))


@pytest.mark.parametrize(
    ("wanted", "every", "taken"),
    [
        # At the first look after each part of the budget; the last part ends with the final policy.
        (4, 100, [300, 500, 800]),
        (4, 10, [250, 500, 750]),
        # A program may make several parts of its steps between two looks.
        (10, 400, [400, 800]),
        (1, 10, []),
        (0, 10, []),
    ],
)
def test_snapshots_divide_the_budget(
    wanted: int, every: int, taken: list[int], tmp_path: pathlib.Path
) -> None:
    for steps in range(0, 1201, every):
        if snapshots.is_due(tmp_path, wanted, steps, 1000):
            snapshots.write(tmp_path, steps, POLICY)
    assert steps_of(tmp_path) == taken


def test_a_resumed_run_takes_again_what_its_checkpoint_does_not_know(tmp_path: pathlib.Path) -> None:
    for steps in (250, 500, 750):
        snapshots.write(tmp_path, steps, POLICY)
    snapshots.rewind(tmp_path, 500)
    assert steps_of(tmp_path) == [250, 500]
    assert not snapshots.is_due(tmp_path, 4, 510, 1000)
    assert snapshots.is_due(tmp_path, 4, 750, 1000)
    snapshots.rewind(tmp_path, 0)
    assert steps_of(tmp_path) == []
    snapshots.rewind(tmp_path / "nowhere", 0)
