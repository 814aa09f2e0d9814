"""Tests of what is kept of members that do not change any more."""

import dataclasses
import pathlib

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import frozen
from acme_psro.agent_runs.neupl_program.frozen import Frozen
from acme_psro.neupl.freezing import Progress
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile, StoredPolicy, StoredPolicyError


@pytest.fixture
def state() -> Frozen:
    """Members 1 of both players are fixed, member 2 of player 1 too; player 0's has a best one so far."""
    progress = Progress(2, np.array([False, True]), np.array([0.5, 0.25]), np.array([1, 2]))
    names = {(0, 1): "a.npz", (1, 1): "b.npz", (1, 2): "c.npz", (0, 2): "best.npz"}
    return Frozen(7, progress, names, np.arange(32.0).reshape(2, 4, 4))


def test_only_fixed_members_are_served(state: Frozen, tmp_path: pathlib.Path) -> None:
    assert state.fixed == {(0, 1): "a.npz", (1, 1): "b.npz", (1, 2): "c.npz"}
    assert state.files(tmp_path)[1, 2].path == tmp_path / "frozen" / "c.npz"
    assert frozen.start(4).fixed == {}


def test_fixed_members_keep_their_rows(state: Frozen) -> None:
    graph = np.full((2, 4, 4), -1.0)
    kept = state.keep_rows(graph)
    for player, index in state.fixed:
        np.testing.assert_array_equal(kept[player, index], state.rows[player, index])
    assert (kept[0, 2] == -1).all() and (kept[:, [0, 3]] == -1).all() and (graph == -1).all()


def test_arrays_keep_everything(state: Frozen) -> None:
    for one in (state, frozen.start(4)):
        again = frozen.from_arrays(frozen.to_arrays(one))
        assert (again.epoch, again.names) == (one.epoch, one.names)
        np.testing.assert_array_equal(again.rows, one.rows)
        for field in dataclasses.fields(Progress):
            np.testing.assert_array_equal(
                getattr(again.progress, field.name), getattr(one.progress, field.name)
            )


def test_files_are_named_after_their_content(tmp_path: pathlib.Path) -> None:
    uniform = decoders.uniform("kuhn_poker()", 1)
    name = frozen.write(tmp_path, 3, uniform)
    file = PolicyFile(frozen.place(tmp_path, name))
    assert name.startswith("player_1_00003_") and stored.digest(uniform)[:16] in name
    assert stored.digest(frozen.read(file)) == stored.digest(uniform)
    policies = frozen.FixedPolicies(tmp_path)
    first = policies({(1, 3): name})
    # Read once: a file that is lost later does no harm.
    stored.write(file.path, StoredPolicy({**uniform.about, "player": 0}, {}))
    assert policies({(1, 3): name}) == first
    with pytest.raises(StoredPolicyError, match="is another policy than its name says: restore the file"):
        frozen.read(file)


def test_files_that_nothing_names_are_removed(tmp_path: pathlib.Path) -> None:
    names = [frozen.write(tmp_path, index, decoders.uniform("kuhn_poker()", 0)) for index in (1, 2)]
    frozen.prune(tmp_path, names[:1])
    assert [path.name for path in (tmp_path / "frozen").iterdir()] == names[:1]
    frozen.prune(tmp_path / "nowhere", [])
