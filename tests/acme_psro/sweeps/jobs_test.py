"""Tests of acme_psro.sweeps.jobs."""

import pathlib

import pytest

from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.sweeps.cells import Cell, make_cells
from acme_psro.sweeps.jobs import SweepRun, describe_progress, share_done
from acme_psro.sweeps.kinds import find_kind
from acme_psro.system.tables import write_csv
from tests.acme_psro.sweeps.files import read, write_run


def _self_play_run(directory: pathlib.Path, config: SelfPlayRunConfig) -> SweepRun:
    cell = Cell("cell", {}, {}, config.to_json(), config.steps)
    return SweepRun(cell, 0, directory)


def _write_checkpoint(directory: pathlib.Path, updates: int) -> None:
    (directory / "checkpoints").mkdir(exist_ok=True)
    (directory / "checkpoints" / f"state_{updates:010d}.npz").touch()


def test_runs_of_populations_count_iterations(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path)
    run = SweepRun(make_cells(file)[0], 0, tmp_path / "run")
    assert describe_progress(file.kind, run, run.rows()) == "" and share_done(file.kind, run, []) == 0.0
    write_run(run.directory, [0.5, 0.25], finished=False)
    assert describe_progress(file.kind, run, run.rows()) == "iteration 1, exploitability 0.2500"
    assert share_done(file.kind, run, run.rows()) == pytest.approx(1 / 3)


def test_runs_of_tables_count_updates_although_they_play_no_games(tmp_path: pathlib.Path) -> None:
    kind, config = find_kind("self-play"), SelfPlayRunConfig("kuhn_poker", "tabular_mmd", steps=200)
    run = _self_play_run(tmp_path, config)
    row = {"iteration": 1, "env_steps": 0, "gradient_steps": 50, "exploitability": 0.125}
    write_csv(tmp_path / "metrics.csv", [row])
    assert describe_progress(kind, run, run.rows()) == "50 updates, exploitability 0.1250"
    assert share_done(kind, run, run.rows()) == 0.25


def test_runs_of_networks_count_steps_by_checkpoints_too(tmp_path: pathlib.Path) -> None:
    kind, config = find_kind("self-play"), SelfPlayRunConfig("kuhn_poker", steps=16_384, evaluate_every=0)
    run = _self_play_run(tmp_path, config)
    assert describe_progress(kind, run, []) == ""
    _write_checkpoint(tmp_path, 2)
    assert describe_progress(kind, run, []) == "8,192 steps"
    assert share_done(kind, run, []) == 0.5
