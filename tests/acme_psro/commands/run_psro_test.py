"""Tests of commands.run_psro as its users run it.

Most run in this process, as `python -m experiments.run_psro` would with the same arguments; a few are real
processes: those that are timed, killed, or asked what they import.
"""

import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from acme_psro.commands import run_psro
from acme_psro.population_runs import oracles
from acme_psro.population_runs.config import ORACLES, PSROConfig
from acme_psro.system.lock import locked
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import ROOT, Ended, Launch, contents, exit_code, make_launch, start

pytestmark = pytest.mark.usefixtures("quick_module")

_COLUMNS = [
    "iteration",
    "wall_seconds",
    "episodes",
    "env_steps",
    "gradient_steps",
    "nash_conv",
    "exploitability",
]
_TIMINGS = ("wall_seconds", "iteration_seconds")
_LEDUC = ("--game=leduc_poker", "--oracle=exact")
# A budget that learns next to nothing, fast.
_DEVICE = (
    "--game=kuhn_poker",
    "--oracle=device",
    "--gradient_steps_per_response=20",
    "--num_envs=32",
    "--batch_size=32",
    "--buffer_size=1000",
    "--set=agent_settings.critic_hidden_sizes=[16]",
    "--set=agent_settings.policy_hidden_sizes=[16]",
)


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    """Runs the launcher with these arguments in this process."""
    return make_launch(run_psro.main, capsys)


_process = functools.partial(start, "experiments.run_psro")


def _untimed(directory: pathlib.Path) -> list[dict[str, float]]:
    rows = read_csv(directory / "metrics.csv")
    return [{name: value for name, value in row.items() if name not in _TIMINGS} for row in rows]


def _assert_same_metrics(directory: pathlib.Path, expected: list[dict[str, float]]) -> None:
    """Returns all columns except timings, exactly, as text because NaN does not equal itself."""
    rows = _untimed(directory)
    assert [repr(row) for row in rows] == [repr(row) for row in expected]
    times = [row["wall_seconds"] for row in read_csv(directory / "metrics.csv")]
    assert times == sorted(times)


# Runs.


@pytest.fixture(scope="module")
def kuhn(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str, str]:
    """Runs exact PSRO on Kuhn poker in a new process; returns directory, output and imported modules."""
    directory = tmp_path_factory.mktemp("runs") / "kuhn"
    began = time.monotonic()
    process = _process(
        "--game=kuhn_poker", "--oracle=exact", f"--output_dir={directory}", options=("-X", "importtime")
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert time.monotonic() - began < 10
    return directory, out, err


def test_exact_psro_on_kuhn_converges_and_says_so(kuhn: Any) -> None:
    directory, out, _ = kuhn
    assert re.search(r"^Converged after \d+ iterations: no player gains", out, re.MULTILINE)
    assert out.splitlines()[-1] == f"report: {directory / 'report.html'}"
    rows = _untimed(directory)
    assert len(rows) < 20
    assert rows[0]["nash_conv"] == pytest.approx(11 / 12, abs=1e-12)
    assert rows[-1]["exploitability"] == pytest.approx(0.0, abs=1e-9)
    # Plain lines where the output is no terminal, one a row.
    assert sum(line.startswith("iteration") for line in out.splitlines()) == len(rows)
    assert "\x1b" not in out


def test_the_exact_oracle_imports_neither_jax_nor_tensorflow(kuhn: Any) -> None:
    *_, err = kuhn
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in err.splitlines() if "|" in line}
    assert {"numpy", "scipy", "pyspiel", "acme_psro"} <= imported
    assert not {"jax", "tensorflow", "acme", "reverb", "launchpad", "haiku"} & imported
    assert all(line.startswith("import time:") for line in err.splitlines())


def test_a_run_directory_holds_what_users_are_promised(kuhn: Any) -> None:
    directory = kuhn[0]
    assert {path.name for path in directory.iterdir()} == {
        "checkpoints",
        "config.json",
        "events",
        "metrics.csv",
        "report.html",
    }
    config = json.loads((directory / "config.json").read_text())
    assert (config["game"], config["oracle"], config["meta_solver"]) == ("kuhn_poker", "exact", "nash")
    assert [path.name.startswith("events.out.tfevents.") for path in (directory / "events").iterdir()] == [
        True
    ]
    assert not [path for path in directory.rglob("*") if path.suffix in (".pkl", ".pickle", ".tmp")]


def test_metrics_begin_with_the_promised_columns_one_row_an_iteration(kuhn: Any) -> None:
    rows = read_csv(kuhn[0] / "metrics.csv")
    assert list(rows[0])[: len(_COLUMNS)] == _COLUMNS
    of_players = {
        f"{name}_{player}" for name in ("gain", "gap", "relative_gap", "population") for player in (0, 1)
    }
    assert of_players <= set(rows[0])
    assert [row["iteration"] for row in rows] == list(range(len(rows)))
    assert all(row["nash_conv"] == pytest.approx(row["gain_0"] + row["gain_1"]) for row in rows)
    assert all(row["exploitability"] == row["nash_conv"] / 2 for row in rows)


def test_the_report_is_one_self_contained_file(kuhn: Any) -> None:
    report = (kuhn[0] / "report.html").read_text()
    assert report.lstrip().lower().startswith("<!doctype html>")
    assert "http:" not in report
    assert "https:" not in report
    assert not re.search(r'(?:src|href)="(?!data:|#)', report)
    assert "<svg" in report or "data:image" in report
    assert "kuhn_poker" in report


@pytest.fixture(scope="module")
def leduc(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Six iterations of exact PSRO on Leduc poker without interruption."""
    directory = tmp_path_factory.mktemp("runs") / "leduc"
    assert exit_code(run_psro.main, *_LEDUC, "--iterations=6", f"--output_dir={directory}") == 0
    return directory


def test_a_run_stops_when_it_was_asked_to(leduc: pathlib.Path) -> None:
    assert [row["iteration"] for row in _untimed(leduc)] == list(range(7))


def test_a_resumed_run_equals_one_in_one_go(
    tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch
) -> None:
    directory = f"--output_dir={tmp_path}"
    assert launch(*_LEDUC, directory, "--iterations=3").code == 0
    expected = _untimed(leduc)[:4]
    # Only the last row of a run with exact responses has it, and row 3 is the last one for now.
    late = "population_exploitability"
    assert 0 < _untimed(tmp_path)[-1][late] < _untimed(tmp_path)[-1]["exploitability"]
    _assert_same_metrics(tmp_path, [*expected[:3], expected[3] | {late: _untimed(tmp_path)[-1][late]}])
    ended = launch(*_LEDUC, directory, "--iterations=6", "--resume")
    assert (ended.code, ended.err) == (0, "")
    _assert_same_metrics(tmp_path, _untimed(leduc))


def test_a_finished_run_can_be_resumed_for_nothing(
    tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch
) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    assert launch(*_LEDUC, f"--output_dir={copy}", "--iterations=6", "--resume").code == 0
    assert (copy / "metrics.csv").read_bytes() == (leduc / "metrics.csv").read_bytes()


@pytest.mark.parametrize("broken", ["state_00006.npz", "state_00006.json"])
def test_a_truncated_checkpoint_costs_an_iteration_and_changes_nothing(
    tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch, broken: str
) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    newest = copy / "checkpoints" / broken
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    ended = launch(*_LEDUC, f"--output_dir={copy}", "--iterations=6", "--resume")
    assert ended.code == 0
    assert ended.err.startswith("warning: checkpoint state_00006 cannot be used: ")
    assert ended.err.count("\n") == 1
    _assert_same_metrics(copy, _untimed(leduc))
    again = launch(*_LEDUC, f"--output_dir={copy}", "--iterations=6", "--resume")
    assert (again.code, again.err) == (0, "")


def _end_after_two_iterations(
    number: signal.Signals, *arguments: str, directory: pathlib.Path, **environment: str
) -> tuple[int, str]:
    """Starts a run, sends it a signal, and returns its exit code and error output."""
    process = _process(*arguments, f"--output_dir={directory}", **environment)
    metrics, deadline = directory / "metrics.csv", time.monotonic() + 120
    try:
        while not metrics.exists() or len(metrics.read_bytes().splitlines()) < 4:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        return process.wait(timeout=30), process.communicate()[1]
    finally:
        process.kill()


@pytest.mark.parametrize("iterations", ["2", "5"])
def test_a_run_that_has_done_more_than_it_is_asked_for_stays_as_it_is(
    tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch, iterations: str
) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    before = (copy / "config.json").read_bytes(), (copy / "metrics.csv").read_bytes()
    ended = launch(*_LEDUC, f"--output_dir={copy}", f"--iterations={iterations}", "--resume")
    assert (ended.code, ended.err) == (0, "")
    assert f"6 iterations are done already: --iterations={iterations} asks for fewer." in ended.out
    assert "as asked" not in ended.out
    assert not re.search(rf"6/{iterations}\b", ended.out)
    assert before == ((copy / "config.json").read_bytes(), (copy / "metrics.csv").read_bytes())
    assert '"iterations": 6' in before[0].decode()


def test_notes_and_folders_of_people_survive_a_resumed_run(
    tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch
) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    notes = copy / "checkpoints" / "policies" / "notes.txt"
    notes.write_text("mine")
    (copy / "checkpoints" / "policies" / ".ipynb_checkpoints").mkdir()
    shutil.copy(copy / "checkpoints" / "state_00006.json", copy / "checkpoints" / "state_00009 (1).json")
    ended = launch(*_LEDUC, f"--output_dir={copy}", "--iterations=7", "--resume")
    assert (ended.code, ended.err, notes.read_text()) == (0, "", "mine")
    assert (copy / "checkpoints" / "policies" / ".ipynb_checkpoints").is_dir()


@pytest.mark.parametrize("error", [ValueError("no such backend"), OSError(28, "No space left on device")])
def test_a_report_that_cannot_be_written_is_a_warning(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise error

    flags = ("--game=kuhn_poker", "--oracle=exact", "--iterations=1", f"--output_dir={tmp_path}")
    with monkeypatch.context() as patched:
        patched.setattr("acme_psro.display.report.write_report", fail)
        ended = launch(*flags)
    assert ended.code == 0
    assert re.fullmatch(r"warning: the run is done, but there is no report: .*\n", ended.err)
    assert "--resume writes the report" in ended.err and "report: " not in ended.out
    assert launch(*flags, "--resume").code == 0
    assert (tmp_path / "report.html").exists()


def test_names_and_paths_are_taken_as_people_write_them(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ended = launch("--game= kuhn_poker ", "--oracle=exact", "--iterations=1", "--output_dir=~/run")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["game"] == "kuhn_poker"


_SHARED = {"game", "loop", "oracle", "meta_solver", "iterations", "seed", "tolerance", "payoffs"}


@pytest.mark.parametrize(
    ("config", "recorded"),
    [
        (PSROConfig("kuhn_poker", oracle="exact", payoffs="exact"), {"max_nodes"}),
        (
            PSROConfig("kuhn_poker", oracle="device", payoffs="exact"),
            {"max_nodes", "agent", "agent_settings", "device"},
        ),
        (
            PSROConfig("kuhn_poker", oracle="launchpad", payoffs="exact"),
            {"max_nodes", "agent", "agent_settings", "launchpad"},
        ),
        (
            PSROConfig("kuhn_poker", oracle="launchpad", payoffs="sampled"),
            {"agent", "agent_settings", "launchpad", "simulation"},
        ),
    ],
)
def test_only_settings_in_use_are_recorded(config: PSROConfig, recorded: set[str]) -> None:
    assert set(config.to_json()) == _SHARED | recorded


def test_the_report_of_an_exact_run_names_no_agent(kuhn: Any) -> None:
    report = (kuhn[0] / "report.html").read_text()
    assert "crossq" not in report
    assert "Gap of the learned best responses" not in report
    assert "No best response was learned" in report


def _kill_after_two_iterations(*arguments: str, directory: pathlib.Path, **environment: str) -> int:
    """Starts a run, kills it without warning, and returns how many iterations it had done."""
    ended = _end_after_two_iterations(signal.SIGKILL, *arguments, directory=directory, **environment)
    assert ended[0] == -signal.SIGKILL
    return len(read_csv(directory / "metrics.csv")) - 1


def test_a_run_that_is_asked_to_end_says_how_to_go_on(tmp_path: pathlib.Path, launch: Launch) -> None:
    run = tmp_path / "run"
    ended = _end_after_two_iterations(signal.SIGTERM, *_LEDUC, "--iterations=500", directory=run)
    assert ended == (1, "stopped; --resume continues the run.\n")
    assert "the run can be resumed" in (run / "report.html").read_text()
    done = len(read_csv(run / "metrics.csv")) - 1
    assert launch(*_LEDUC, f"--output_dir={run}", f"--iterations={done + 1}", "--resume").code == 0


def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: pathlib.Path, launch: Launch) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    done = _kill_after_two_iterations(*_LEDUC, "--iterations=500", directory=killed)
    total = f"--iterations={done + 4}"
    assert launch(*_LEDUC, f"--output_dir={killed}", total, "--resume").code == 0
    assert launch(*_LEDUC, f"--output_dir={whole}", total).code == 0
    _assert_same_metrics(killed, _untimed(whole))


@pytest.mark.slow
def test_a_killed_run_of_learned_responses_goes_on_as_if_nothing_had_been(
    tmp_path: pathlib.Path, launch: Launch
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    done = _kill_after_two_iterations(*_DEVICE, "--iterations=500", directory=killed)
    for directory, flags in ((killed, ("--resume",)), (whole, ())):
        ended = launch(*_DEVICE, f"--iterations={done + 2}", f"--output_dir={directory}", *flags)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines()[-1] == f"report: {directory / 'report.html'}"
    _assert_same_metrics(killed, _untimed(whole))
    rows = _untimed(whole)
    assert len(rows) == done + 3
    # 20 steps in 5 rounds for each of two players, twice where a response was trained on.
    assert all(
        later["gradient_steps"] - row["gradient_steps"] in (40, 80) for row, later in itertools.pairwise(rows)
    )
    assert all(later["episodes"] > row["episodes"] for row, later in itertools.pairwise(rows))


@pytest.mark.parametrize("game", ["matrix_pd", "kuhn_poker(players=3)", "matrix_shapleys_game"])
def test_regret_matching_takes_general_sum_games_and_many_players(
    tmp_path: pathlib.Path, launch: Launch, game: str
) -> None:
    flags = (f"--game={game}", "--oracle=exact", "--meta_solver=regret_matching", "--iterations=4")
    ended = launch(*flags, f"--output_dir={tmp_path}")
    assert (ended.code, ended.err) == (0, "")
    rows = _untimed(tmp_path)
    players = sum(name.startswith("gain_") for name in rows[0])
    assert players == (3 if "players=3" in game else 2)
    assert rows[-1]["exploitability"] == pytest.approx(rows[-1]["nash_conv"] / players)
    assert (tmp_path / "report.html").exists()
    if game == "matrix_pd":
        # To defect is dominant: one response each, and nobody gains any more.
        assert rows[-1]["nash_conv"] == pytest.approx(0.0, abs=1e-7)
        assert "Converged after 1 iteration: " in ended.out


def test_runs_go_to_a_directory_named_after_them(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch("--game=kuhn_poker(players=2)", "--oracle=exact", "--iterations=1", "--seed=3").code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["kuhn_poker_players_2_-exact-3"]


# Bad input.


def _assert_refused(ended: Ended, *named: str) -> str:
    """Asserts one clear line of error, exit code 2 and no traceback; warnings may come before."""
    assert ended.code == 2
    assert ended.out == ""
    *warnings, error = ended.err.splitlines()
    assert error.startswith("error: ")
    assert all(line.startswith("warning: ") for line in warnings)
    assert [name for name in named if name not in error] == []
    return error


def _counts(*values: str) -> list[tuple[list[str], list[str]]]:
    """Returns every flag that is a count with every invalid value, and its name in the error message."""
    names = {"gradient_steps_per_response": "gradient_steps"}
    counts = (
        "iterations",
        "max_nodes",
        "gradient_steps_per_response",
        "num_envs",
        "batch_size",
        "buffer_size",
    )
    return [([f"--{flag}={value}"], [names.get(flag, flag), value]) for flag in counts for value in values]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--game=kuhn_pokr"], ["unknown game 'kuhn_pokr'", "did you mean kuhn_poker"]),
        (["--game=leduc"], ["unknown game 'leduc'", "leduc_poker"]),
        (["--game="], ["unknown game"]),
        (["--game=xyzzyxyzzy"], ["unknown game 'xyzzyxyzzy'"]),
        (["--game=kuhn_poker(players=99)"], ["kuhn_poker(players=99)"]),
        (["--game=kuhn_poker(player=3)"], ["player", "takes players"]),
        (["--game=kuhn_poker(players=two)"], ["players"]),
        (["--game=kuhn_poker(players=3"], ["kuhn_poker(players=3"]),
        (["--game=mfg_crowd_modelling"], ["mean-field"]),
        (["--game=leduc_poker", "--max_nodes=100"], ["100 nodes", "--max_nodes", "smaller game"]),
        (["--oracle=magic"], ["'magic'", "exact", "device"]),
        (["--agent=dqn"], ["'dqn'", "crossq"]),
        (["--meta_solver=nosh"], ["'nosh'", "nash", "prd", "regret_matching", "uniform"]),
        (
            ["--game=kuhn_poker(players=3)"],
            [
                "two-player zero-sum",
                "3-player",
                "last_k, prd, regret_matching, shor, shor_evaluation, uniform",
            ],
        ),
        (
            ["--game=matrix_pd"],
            [
                "two-player zero-sum",
                "general-sum",
                "general_sum_nash, last_k, prd, regret_matching, shor, shor_evaluation, uniform",
            ],
        ),
        *_counts("0", "-1"),
        (["--max_extensions=-1"], ["max_extensions", "-1"]),
        (["--seed=-1"], ["seed"]),
        (["--tolerance=inf"], ["--tolerance must be finite"]),
        (["--buffer_size=400"], ["buffer_size", "batch_size", "1024"]),
        (["--batch_size=10", "--buffer_size=400"], ["buffer_size", "num_envs", "512"]),
        (["--oracle=exact", "--agent=crossq"], ["--agent needs --oracle=device or --oracle=launchpad"]),
        (["--oracle=exact", "--num_envs=512"], ["--num_envs needs --oracle=device"]),
        (["--oracle=exact", "--gain_episodes=-1"], ["--gain_episodes", "--payoffs=sampled"]),
        (["--oracle=exact", "--learner_devices=foo"], ["--learner_devices needs --oracle=launchpad"]),
        (["--games_per_actor=2"], ["--games_per_actor needs --oracle=launchpad"]),
        (["--oracle=launchpad", "--max_extensions=1"], ["--max_extensions needs --oracle=device"]),
        (["--oracle=launchpad", "--payoffs=exact", "--payoff_workers=2"], ["--payoffs=sampled"]),
        pytest.param(
            ["--oracle=launchpad", "--payoff_episodes=9"],
            ["--payoff_episodes needs --payoffs=sampled"],
            # Whether payoffs are sampled is known only after the Acme layer was looked for.
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10"
            ),
        ),
        (["--oracle=launchpad", "--payoffs=sampled", "--max_nodes=9"], ["--max_nodes needs"]),
        (
            ["--oracle=launchpad", "--payoffs=sampled", "--actor_steps_per_response=1000"],
            ["learning begins after 2,000", "--actor_steps_per_response=1000"],
        ),
        (
            ["--oracle=launchpad", "--actor_steps_per_response=2000"],
            ["learning begins after 2,000", "--actor_steps_per_response=2000"],
        ),
        (["--tolerance=-0.1"], ["tolerance"]),
        (["--tolerance=nan"], ["--tolerance must be a number"]),
        (["--buffer_size=10", "--batch_size=20"], ["buffer_size", "batch_size"]),
        (["--iterations=many"], ["iterations", "many"]),
        (["--iterations=1.5"], ["iterations", "1.5"]),
        (["--seed=1e3"], ["seed"]),
        (["--tolerance=small"], ["tolerance", "small"]),
        (["--resume=perhaps"], ["--resume must be true or false, not 'perhaps'"]),
        (["--iteration=3"], ["'iteration'"]),
        (["leduc_poker"], ["unexpected argument 'leduc_poker'"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: pathlib.Path,
    launch: Launch,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    named: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    game = [] if flags[0].startswith("--game") else ["--game=kuhn_poker"]
    ended = launch(*game, f"--output_dir={tmp_path / 'run'}", *flags)
    _assert_refused(ended, *named)
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [(), ("--resume",)])
@pytest.mark.parametrize(
    ("change", "named"),
    [("--seed=1", "seed is 0, not 1"), ("--meta_solver=uniform", "meta_solver is nash, not uniform")],
)
def test_a_directory_that_holds_another_configuration_is_left_alone(
    tmp_path: pathlib.Path,
    leduc: pathlib.Path,
    launch: Launch,
    flags: tuple[str, ...],
    change: str,
    named: str,
) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    before = contents(copy)
    ended = launch(*_LEDUC, f"--output_dir={copy}", "--iterations=6", change, *flags)
    _assert_refused(ended, "another configuration", named, "--output_dir")
    assert contents(copy) == before


def test_the_same_configuration_without_resume_is_left_alone(leduc: pathlib.Path, launch: Launch) -> None:
    before = contents(leduc)
    _assert_refused(launch(*_LEDUC, f"--output_dir={leduc}", "--iterations=6"), "--resume")
    assert contents(leduc) == before


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_a_directory_in_which_another_process_is_at_work(
    leduc: pathlib.Path, tmp_path: pathlib.Path, launch: Launch, flags: tuple[str, ...]
) -> None:
    directory = tmp_path / "run"
    if flags:
        shutil.copytree(leduc, directory)
    with locked(directory):
        before = contents(directory)
        ended = launch(*_LEDUC, f"--output_dir={directory}", "--iterations=6", *flags)
        _assert_refused(ended, "another process is at work", str(directory), "--output_dir")
        assert contents(directory) == before


def test_resume_where_there_is_nothing(tmp_path: pathlib.Path, launch: Launch) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        ended = launch(*_LEDUC, f"--output_dir={directory}", "--resume")
        _assert_refused(ended, "no run to resume", str(directory))
    assert list(tmp_path.iterdir()) == []


def test_an_output_directory_that_is_a_file(tmp_path: pathlib.Path, launch: Launch) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for flags in ((), ("--resume",)):
        _assert_refused(launch(*_LEDUC, f"--output_dir={file}", *flags), "is a file")
    assert (list(tmp_path.iterdir()), file.read_text()) == ([file], "mine")


@pytest.mark.parametrize("name", ["x" * 256, "ä" * 128, "a/" + "x" * 300, "a/" + "x" * 300 + "/b"])
def test_an_output_directory_that_cannot_exist(tmp_path: pathlib.Path, launch: Launch, name: str) -> None:
    _assert_refused(launch(*_LEDUC, f"--output_dir={tmp_path}/{name}"), "is too long", "--output_dir")
    assert list(tmp_path.iterdir()) == []


def _in_shell(command: str, directory: pathlib.Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell command in which `$RUN` is the launcher with a small run in a directory."""
    launcher = f"{sys.executable} -m experiments.run_psro --game=kuhn_poker --oracle=exact --iterations=3"
    run = {"RUN": f"{launcher} --output_dir={directory}"}
    environment = {**os.environ, **environment, **run}
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "command",
    ["$RUN | head -1; exit ${PIPESTATUS[0]}", "$RUN <&- >&- 2>&-", "$RUN 2>&-", "$RUN > /dev/full"],
)
def test_nobody_need_read_what_a_run_prints(tmp_path: pathlib.Path, command: str) -> None:
    ended = _in_shell(command, tmp_path / "ä")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "ä" / "report.html").exists()


def test_a_terminal_of_ascii_is_good_enough(tmp_path: pathlib.Path) -> None:
    ended = _in_shell("$RUN", tmp_path / "ä", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("\\xe4/report.html\n")


def test_a_platform_that_jax_does_not_find_is_one_line(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "bogus")
    flags = ("--game=kuhn_poker", "--iterations=1", f"--output_dir={tmp_path / 'run'}")
    _assert_refused(launch(*flags), "JAX_PLATFORMS=bogus")
    assert list(tmp_path.iterdir()) == []
    # The exact oracle does without JAX.
    assert launch(*flags, "--oracle=exact").code == 0


def test_a_disk_without_room_is_one_line_and_costs_nothing(tmp_path: pathlib.Path) -> None:
    run = tmp_path / "run"
    # A limit on the size of files, in KiB, stands for a full disk: the table of metrics grows beyond it.
    # Python would cut the modules that it compiles off at the limit too, and stumble over them from then on.
    limited = "ulimit -f 8; ACME_PSRO_CACHE=/proc/none $RUN --iterations=400 --game=leduc_poker"
    ended = _in_shell(limited, run, PYTHONDONTWRITEBYTECODE="1")
    assert ended.returncode == 2
    error = ended.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"error: cannot write {re.escape(str(run))}.*: File too large; --resume continues the run\.", error
    )
    assert "Traceback" not in ended.stderr
    done = len(read_csv(run / "metrics.csv")) - 1
    ended = _in_shell(f"$RUN --game=leduc_poker --iterations={done + 1} --resume", run)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_output_directory_below_a_file(tmp_path: pathlib.Path, launch: Launch) -> None:
    (tmp_path / "file").write_text("mine")
    _assert_refused(launch(*_LEDUC, f"--output_dir={tmp_path / 'file' / 'run'}"), "file")


@pytest.mark.parametrize("harm", ["truncate", "alter"])
def test_where_no_checkpoint_is_whole_that_is_said_and_nothing_touched(
    tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch, harm: str
) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    for path in (copy / "checkpoints").glob("state_*.npz"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data if harm == "alter" else data[: len(data) // 2])
    before = contents(copy)
    ended = launch(*_LEDUC, f"--output_dir={copy}", "--iterations=6", "--resume")
    _assert_refused(ended, "no checkpoint", "whole")
    assert ended.err.count("warning: ") == 3
    assert contents(copy) == before


def test_a_broken_configuration_file(tmp_path: pathlib.Path, leduc: pathlib.Path, launch: Launch) -> None:
    copy = shutil.copytree(leduc, tmp_path / "run")
    (copy / "config.json").write_text('{"game": "leduc')
    before = contents(copy)
    _assert_refused(launch(*_LEDUC, f"--output_dir={copy}", "--resume"), "config.json")
    assert contents(copy) == before


def test_a_real_process_refuses_with_exit_code_2_and_no_traceback(tmp_path: pathlib.Path) -> None:
    process = _process("--game=leduc_pokr", "--oracle=exact", f"--output_dir={tmp_path / 'run'}")
    out, err = process.communicate(timeout=60)
    _assert_refused(Ended(process.returncode, out, err), "leduc_pokr", "leduc_poker")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("oracle", ORACLES)
def test_every_oracle_keeps_responses_by_the_runs_tolerance(oracle: str, tmp_path: pathlib.Path) -> None:
    config = PSROConfig(game="kuhn_poker", oracle=oracle, tolerance=0.25)
    assert oracles.prepare_oracle(config, tmp_path, print).keywords["tolerance"] == 0.25
