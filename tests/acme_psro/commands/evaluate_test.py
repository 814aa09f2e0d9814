"""Tests of commands.evaluate: one JSON object on standard output."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

import pyspiel
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import evaluate, run_psro
from acme_psro.storage import run_directory
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import ROOT, Ended, Launch, contents, exit_code, make_launch, start


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Four iterations of exact PSRO on Kuhn poker."""
    directory = tmp_path_factory.mktemp("run") / "kuhn"
    arguments = ["--game=kuhn_poker", "--oracle=exact", "--iterations=4", f"--output_dir={directory}"]
    assert exit_code(run_psro.main, *arguments) == 0
    return directory


@pytest.fixture
def evaluated(capsys: pytest.CaptureFixture[str]) -> Launch:
    """Runs the launcher with these arguments."""
    return make_launch(evaluate.main, capsys)


def test_prints_the_figures_of_the_last_mixture(run: pathlib.Path, evaluated: Any) -> None:
    before = contents(run)
    code, out, err = evaluated(f"--run_dir={run}")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    figures = json.loads(out)
    last = read_csv(run / "metrics.csv")[-1]
    assert figures["game"] == "kuhn_poker()"
    assert (figures["players"], figures["iterations"], figures["meta_solver"]) == (2, 4, "nash")
    assert figures["nash_conv"] == last["nash_conv"]
    assert figures["exploitability"] == last["exploitability"] == figures["nash_conv"] / 2
    assert figures["per_player_gain"] == [last["gain_0"], last["gain_1"]]
    assert sum(figures["expected_returns"]) == pytest.approx(0.0, abs=1e-12)
    assert figures["populations"] == [last["population_0"], last["population_1"]]
    assert contents(run) == before


def test_openspiel_finds_the_same_exploitability_of_the_loaded_policy(
    run: pathlib.Path, evaluated: Any
) -> None:
    figures = json.loads(evaluated(f"--run_dir={run}").out)
    value = exploitability.exploitability(pyspiel.load_game("kuhn_poker"), acme_psro.load_policy(run))
    assert figures["exploitability"] == pytest.approx(value, abs=1e-9)
    assert value > 1e-3


def test_a_broken_checkpoint_is_passed_over_and_said_on_standard_error(
    run: pathlib.Path, tmp_path: pathlib.Path, evaluated: Any
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    newest = copy / "checkpoints" / "state_00004.npz"
    newest.write_bytes(newest.read_bytes()[:-10])
    code, out, err = evaluated(f"--run_dir={copy}")
    assert code == 0
    assert json.loads(out)["iterations"] == 3
    assert err.startswith("warning: checkpoint state_00004")
    assert err.count("\n") == 1


def _assert_refused(ended: Ended, *named: str) -> None:
    assert ended.code == 2
    assert ended.out == ""
    *warnings, error = ended.err.splitlines()
    assert error.startswith("error: ")
    assert all(name in error for name in named)
    assert all(line.startswith("warning: ") for line in warnings)


def test_bad_run_directories_are_refused(run: pathlib.Path, tmp_path: pathlib.Path, evaluated: Any) -> None:
    _assert_refused(evaluated(), "--run_dir")
    _assert_refused(evaluated("--run_dir="), "--run_dir")
    _assert_refused(evaluated(f"--run_dir={tmp_path}"), str(tmp_path))
    _assert_refused(evaluated(f"--run_dir={tmp_path / 'nowhere'}"), "nowhere")
    (tmp_path / "file").write_text("")
    _assert_refused(evaluated(f"--run_dir={tmp_path / 'file'}"), "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    _assert_refused(evaluated(f"--run_dir={run}", "--resume_all"), "resume_all")
    _assert_refused(evaluated(str(run)), "unexpected argument")


def test_other_directories_are_named_for_what_they_are(
    tmp_path: pathlib.Path, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "run" / "config.json"
    config.parent.mkdir()
    config.write_text('{"agent": "crossq", "environment": "openspiel:kuhn_poker", "actor_steps": 5}')
    _assert_refused(evaluated("--run_dir=~/run"), "is a run of run_agent: name a run of run_psro")
    config.write_text('{"game": "kuhn_poker", "payoffs": "exact", "max_nodes": "many"}')
    _assert_refused(evaluated("--run_dir=~/run"), "max_nodes", "'many'")
    config.write_text('{"game": "kuhn_poker", "payoffs": "exact"}')
    ended = evaluated("--run_dir=~/run")
    _assert_refused(ended, "this run has no checkpoint yet")
    assert "--resume" not in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is permitted to the superuser")
@pytest.mark.parametrize("part", ["config.json", "checkpoints"])
def test_what_may_not_be_read_is_said(
    run: pathlib.Path, tmp_path: pathlib.Path, evaluated: Any, part: str
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / part).chmod(0)
    try:
        _assert_refused(evaluated(f"--run_dir={copy}"), f"cannot open {copy / part}: Permission denied")
    finally:
        (copy / part).chmod(0o700)


@pytest.mark.parametrize(("target", "code"), [("/dev/full", 2), ("/dev/null", 0)])
def test_a_result_that_is_lost_is_an_error(run: pathlib.Path, target: str, code: int) -> None:
    command = [sys.executable, "-m", "experiments.evaluate", f"--run_dir={run}"]
    with open(target, "w") as stdout:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == code
    assert ("cannot write the result to standard output" in done.stderr) == (code == 2)


@pytest.mark.long
def test_a_running_run_is_read_at_any_moment(tmp_path: pathlib.Path) -> None:
    """Its checkpoints come and go while they are read."""
    process = start(
        "experiments.run_psro",
        "--game=kuhn_poker(players=3)",
        "--oracle=exact",
        "--meta_solver=uniform",
        "--iterations=25",
        f"--output_dir={tmp_path}",
    )
    warnings: list[str] = []
    reads = 0
    while process.poll() is None:
        if (tmp_path / "checkpoints" / "state_00000.json").exists() or reads:
            run_directory.read(tmp_path, warnings.append)
            reads += 1
        # Reading without a pause would take the time of the run itself.
        time.sleep(0.01)
    assert (process.returncode, process.communicate()[1], warnings) == (0, "", [])
    assert reads > 10


def test_broken_runs_are_refused(run: pathlib.Path, tmp_path: pathlib.Path, evaluated: Any) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    policy = copy / "checkpoints" / "policies" / "player_0_00000.npz"
    policy.write_bytes(policy.read_bytes()[:-1])
    before = contents(copy)
    ended = evaluated(f"--run_dir={copy}")
    _assert_refused(ended, "whole")
    assert ended.err.count("warning: ") == 3
    config = copy / "config.json"
    config.write_text("{")
    _assert_refused(evaluated(f"--run_dir={copy}"), "config.json")
    config.write_text(before[str(config)].decode().replace("kuhn_poker", "kuhn_pokr"))
    _assert_refused(evaluated(f"--run_dir={copy}"), "kuhn_pokr", "kuhn_poker")
    assert {**contents(copy), str(config): b""} == {**before, str(config): b""}


def test_a_real_process_prints_json_and_nothing_else(run: pathlib.Path) -> None:
    command = [sys.executable, "-m", "experiments.evaluate", f"--run_dir={run}"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert {"game", "players", "iterations", "nash_conv", "exploitability", "per_player_gain"} <= set(
        json.loads(done.stdout)
    )
    assert done.stderr == ""
