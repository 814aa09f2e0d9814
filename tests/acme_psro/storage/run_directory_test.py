"""Tests of acme_psro.storage.run_directory."""

import dataclasses
import errno
import functools
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats, run_directory
from acme_psro.storage.record import Format, Record
from acme_psro.storage.run_config import RunDirectoryError, is_sampled, read_config, write_config
from acme_psro.system.tables import write_csv

_CONFIG: dict[str, Any] = {
    "game": "kuhn_poker",
    "iterations": 5,
    "seed": 0,
    "device": {"num_envs": 8, "sizes": (4, 4)},
}


@functools.cache
def _tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def _form() -> Format:
    return formats.of_tree(_tree())


def _record(iteration: int = 0) -> Record:
    tree = _tree()
    meta_game = ExactMetaGame(tree)
    state = loop.initialise(meta_game, meta_solving.make_loop(meta_game, get_solver("uniform")))
    metrics: list[dict[str, float]] = [
        {"iteration": i, "nash_conv": 1.0 / (i + 1)} for i in range(iteration + 1)
    ]
    strategies = [state.meta_strategy] * (iteration + 1)
    return Record(dataclasses.replace(state, iteration=iteration), metrics, strategies)


def _run(directory: pathlib.Path, iterations: int = 0) -> None:
    write_config(directory, _CONFIG)
    for iteration in range(iterations + 1):
        record = _record(iteration)
        checkpoint.save(directory / "checkpoints", record, _form())
        write_csv(directory / "metrics.csv", record.metrics)


def _contents(directory: pathlib.Path) -> dict[pathlib.Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _refusal(directory: pathlib.Path, config: dict[str, Any], resume: bool) -> str:
    before = _contents(directory) if directory.is_dir() else None
    with pytest.raises(RunDirectoryError) as refusal:
        run_directory.check(directory, config, resume)
    assert (_contents(directory) if directory.is_dir() else None) == before
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_run_may_begin_where_there_is_nothing(tmp_path: pathlib.Path) -> None:
    run_directory.check(tmp_path / "new", _CONFIG, resume=False)
    assert not (tmp_path / "new").exists()
    run_directory.check(tmp_path, _CONFIG, resume=False)
    assert not list(tmp_path.iterdir())


def test_nothing_cannot_be_resumed(tmp_path: pathlib.Path) -> None:
    for directory in (tmp_path, tmp_path / "new"):
        assert "no run to resume" in _refusal(directory, _CONFIG, resume=True)


def test_a_file_is_no_directory(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    for resume in (False, True):
        assert "is a file" in _refusal(path, _CONFIG, resume)
        _refusal(path / "below", _CONFIG, resume)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 0, not 1"),
        ({"game": "leduc_poker"}, "game is kuhn_poker, not leduc_poker"),
        ({"device": {"num_envs": 16, "sizes": (4, 4)}}, "device.num_envs is 8, not 16"),
        ({"new": 1}, "new is None, not 1"),
    ],
)
def test_another_configuration_is_refused_by_what_differs(
    tmp_path: pathlib.Path, change: dict[str, Any], named: str, resume: bool
) -> None:
    _run(tmp_path)
    message = _refusal(tmp_path, {**_CONFIG, **change}, resume)
    assert "another configuration" in message
    assert named in message


def test_the_same_configuration_needs_resume(tmp_path: pathlib.Path) -> None:
    _run(tmp_path)
    assert "--resume" in _refusal(tmp_path, _CONFIG, resume=False)
    run_directory.check(tmp_path, _CONFIG, resume=True)


def test_a_run_may_go_on_for_longer(tmp_path: pathlib.Path) -> None:
    _run(tmp_path)
    run_directory.check(tmp_path, {**_CONFIG, "iterations": 50}, resume=True)


def test_a_run_may_go_on_by_other_means(tmp_path: pathlib.Path) -> None:
    before = {**_CONFIG, "launchpad": {"learner_devices": "0", "actor_steps": 5}}
    write_config(tmp_path, before)
    after = {"launchpad": {"learner_devices": "0,1", "actor_steps": 5}, "simulation": {"payoff_workers": 3}}
    run_directory.check(tmp_path, {**_CONFIG, **after}, resume=True)
    assert "actor_steps" in _refusal(tmp_path, {**_CONFIG, "launchpad": {"actor_steps": 6}}, resume=True)


def test_settings_that_are_not_in_use_any_more_do_not_count(tmp_path: pathlib.Path) -> None:
    """Older versions recorded the settings of all oracles."""
    unused = {"agent": "crossq", "launchpad": {"actor_steps": 20_000}, "simulation": {}}
    write_config(tmp_path, {**_CONFIG, **unused})
    run_directory.check(tmp_path, _CONFIG, resume=True)
    # A group of settings that is in use is compared as a whole.
    write_config(tmp_path, {**_CONFIG, "device": {"num_envs": 8, "sizes": [4, 4], "more": 1}})
    assert "device.more is 1, not None" in _refusal(tmp_path, _CONFIG, resume=True)


@pytest.mark.parametrize("part", ["checkpoints", "events"])
def test_a_part_of_a_run_that_is_a_file(tmp_path: pathlib.Path, part: str) -> None:
    (tmp_path / part).write_text("mine")
    assert f"{part} is a file" in _refusal(tmp_path, _CONFIG, resume=False)


def test_runs_of_before_there_was_a_choice_of_payoffs_are_exact(tmp_path: pathlib.Path) -> None:
    _run(tmp_path)
    run_directory.check(tmp_path, {**_CONFIG, "payoffs": "exact"}, resume=True)
    message = _refusal(tmp_path, {**_CONFIG, "payoffs": "sampled"}, resume=True)
    assert "payoffs is exact, not sampled" in message
    assert not is_sampled(_CONFIG)


def test_a_run_killed_before_its_first_checkpoint_may_begin_again_either_way(tmp_path: pathlib.Path) -> None:
    write_config(tmp_path, _CONFIG)
    for resume in (False, True):
        run_directory.check(tmp_path, _CONFIG, resume)
    assert run_directory.resume(tmp_path, _form(), pytest.fail) is None


def test_checkpoints_without_a_configuration_are_not_begun_upon(tmp_path: pathlib.Path) -> None:
    """Policies are written only where there are none: those of another run would be taken over."""
    _run(tmp_path)
    (tmp_path / "config.json").unlink()
    for resume in (False, True):
        _refusal(tmp_path, {**_CONFIG, "game": "leduc_poker"}, resume)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"text"'])
def test_a_broken_configuration_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    _run(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    for resume in (False, True):
        assert "truncated or altered" in _refusal(tmp_path, _CONFIG, resume)
    with pytest.raises(RunDirectoryError, match="truncated or altered"):
        run_directory.read(tmp_path)


def test_the_configuration_is_readable_json(tmp_path: pathlib.Path) -> None:
    write_config(tmp_path / "a" / "b", _CONFIG)
    text = (tmp_path / "a" / "b" / "config.json").read_text()
    stored = json.loads(text)
    (start,) = stored.pop("made_by")
    assert stored == {**_CONFIG, "device": {"num_envs": 8, "sizes": [4, 4]}}
    assert {"command", "commit", "versions", "machine"} == set(start)
    assert text.endswith("}\n")


def test_metrics_are_written_after_every_iteration(tmp_path: pathlib.Path) -> None:
    _run(tmp_path, 2)
    assert (tmp_path / "metrics.csv").read_text() == (
        "iteration,nash_conv\n0,1.0\n1,0.5\n2,0.3333333333333333\n"
    )


def test_resume_takes_metrics_back_to_the_checkpoint_it_goes_on_from(tmp_path: pathlib.Path) -> None:
    _run(tmp_path, 3)
    (tmp_path / "checkpoints" / "state_00003.npz").write_bytes(b"")
    warnings: list[str] = []
    record = run_directory.resume(tmp_path, _form(), warnings.append)
    assert record is not None
    assert record.state.iteration == 2
    assert len(warnings) == 1
    assert (tmp_path / "metrics.csv").read_text().splitlines()[-1] == "2,0.3333333333333333"
    assert not (tmp_path / "checkpoints" / "state_00003.json").exists()


def test_resume_where_nothing_is_whole_changes_nothing(tmp_path: pathlib.Path) -> None:
    _run(tmp_path, 1)
    for path in (tmp_path / "checkpoints").glob("*.npz"):
        path.write_bytes(b"")
    before = _contents(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match=r"whole .* start it again in a new directory"):
        run_directory.resume(tmp_path, _form(), lambda line: None)
    # A reader is not told to start a run.
    with pytest.raises(checkpoint.CheckpointError, match=r"is whole \(2 tried\)\.$"):
        run_directory.read(tmp_path)
    assert _contents(tmp_path) == before


def test_reading_gives_the_newest_whole_checkpoint_and_changes_nothing(tmp_path: pathlib.Path) -> None:
    _run(tmp_path, 2)
    (tmp_path / "checkpoints" / "state_00002.json").write_text("")
    before, warnings = _contents(tmp_path), []
    run = run_directory.read(tmp_path, warnings.append)
    assert run.config["game"] == "kuhn_poker"
    assert isinstance(run, run_directory.StoredExactRun)
    assert run.game == run.tree.game_string == "kuhn_poker()"
    assert run.record.state.iteration == 1
    np.testing.assert_array_equal(run.record.state.payoffs, _record().state.payoffs)
    # All that the populations hold.
    np.testing.assert_allclose(run.mixture_table(), _tree().uniform_policy())
    assert len(warnings) == 1
    assert _contents(tmp_path) == before


def test_reading_where_there_is_no_run(tmp_path: pathlib.Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunDirectoryError, match="no run in"):
            run_directory.read(directory)
    write_config(tmp_path, _CONFIG)
    with pytest.raises(checkpoint.CheckpointError, match="this run has no checkpoint yet"):
        run_directory.read(tmp_path)


def test_reading_a_run_of_one_agent(tmp_path: pathlib.Path) -> None:
    config = {"agent": "crossq", "environment": "openspiel:kuhn_poker", "actor_steps": 1000}
    write_config(tmp_path, config)
    with pytest.raises(RunDirectoryError, match="is a run of run_agent: name a run of run_psro"):
        run_directory.read(tmp_path)


@pytest.mark.parametrize("value", ["many", 1.5, None, True])
def test_reading_a_limit_that_is_no_number(tmp_path: pathlib.Path, value: Any) -> None:
    write_config(tmp_path, {**_CONFIG, "max_nodes": value})
    with pytest.raises(RunDirectoryError, match=r"max_nodes in .* not a whole number"):
        run_directory.read(tmp_path)


def test_what_may_not_be_read_is_not_taken_for_broken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(tmp_path)

    def refuse(path: pathlib.Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    for read in (
        lambda: read_config(tmp_path / "config.json"),
        lambda: run_directory.resume(tmp_path, _form(), pytest.fail),
    ):
        with pytest.raises(PermissionError, match=r"Permission denied"):
            read()


@pytest.mark.parametrize("change", [{"game": None}, {"game": "no_such_game"}])
def test_reading_a_configuration_without_a_game(tmp_path: pathlib.Path, change: dict[str, Any]) -> None:
    _run(tmp_path)
    config = {**_CONFIG, **change}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="game") as refusal:
        run_directory.read(tmp_path)
    assert "\n" not in str(refusal.value)
