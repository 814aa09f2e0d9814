"""Tests of commands.run_self_play as its users run it."""

import itertools
import json
import pathlib
import shutil
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.__main__ import COMMANDS
from acme_psro.commands import evaluate
from acme_psro.games.loading import load_game
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Launch, exit_code, imported, make_launch, start
from tests.acme_psro.display.events_test import read_events

pytestmark = pytest.mark.usefixtures("quick_module")

# Eight updates of 64 decisions, with an evaluation after every second one.
_SMALL = (
    "--game=kuhn_poker",
    "--algorithm=nash_pg",
    "--steps=512",
    "--evaluate_every=128",
    "--set=hidden_sizes=[8]",
    "--set=magnet_period=3",
    "--set=rollout.num_games=8",
    "--set=rollout.decisions=8",
)
_SECONDS = ("wall_seconds", "training_seconds", "evaluation_seconds")


@pytest.fixture(scope="module")
def run_self_play() -> Iterator[Any]:
    """The launcher module, whose flags temporarily replace flags of other launchers with the same names."""
    with imported("acme_psro.commands.run_self_play") as module:
        yield module


@pytest.fixture
def launch(run_self_play: Any, capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_self_play.main, capsys)


@pytest.fixture(scope="module")
def whole(run_self_play: Any, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An uninterrupted run."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert exit_code(run_self_play.main, *_SMALL, f"--output_dir={directory}") == 0
    return directory


def _untimed(directory: pathlib.Path) -> str:
    rows = read_csv(directory / "metrics.csv")
    # As text, because NaN does not equal itself.
    return repr([{name: value for name, value in row.items() if name not in _SECONDS} for row in rows])


def test_metrics_have_a_row_for_each_evaluation(whole: pathlib.Path) -> None:
    rows = read_csv(whole / "metrics.csv")
    assert [row["env_steps"] for row in rows] == [0, 128, 256, 384, 512]
    assert [row["gradient_steps"] for row in rows] == [0, 32, 64, 96, 128]
    assert list(rows[0])[:7] == [
        *("iteration", "wall_seconds", "episodes", "env_steps"),
        *("gradient_steps", "nash_conv", "exploitability"),
    ]
    # The first policy is almost uniform.
    assert rows[0]["exploitability"] == pytest.approx(0.4583, abs=0.02)
    assert all(row["nash_conv"] == pytest.approx(row["gain_0"] + row["gain_1"]) for row in rows)
    assert all(later["episodes"] > row["episodes"] for row, later in itertools.pairwise(rows))


def test_the_policy_is_the_one_that_was_evaluated(whole: pathlib.Path) -> None:
    policy = acme_psro.load_policy(whole)
    nash_conv = exploitability.nash_conv(load_game("kuhn_poker"), policy)
    assert nash_conv == pytest.approx(read_csv(whole / "metrics.csv")[-1]["nash_conv"], abs=1e-9)


def test_evaluate_prints_the_newest_figures(whole: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = make_launch(evaluate.main, capsys)(f"--run_dir={whole}")
    assert (ended.code, ended.err) == (0, "")
    figures, row = json.loads(ended.out), read_csv(whole / "metrics.csv")[-1]
    assert (figures["game"], figures["players"], figures["algorithm"]) == ("kuhn_poker()", 2, "nash_pg")
    assert figures["exploitability"] == row["exploitability"]
    assert figures["per_player_gain"] == [row["gain_0"], row["gain_1"]]


def test_events_have_the_exploitability_by_steps(whole: pathlib.Path) -> None:
    steps = [
        event.step
        for event in read_events(whole / "events")
        for value in event.summary.value
        if value.tag == "exploitability"
    ]
    assert steps == [0, 128, 256, 384, 512]


def test_an_interrupted_run_resumes_to_the_same_figures_and_policy(
    launch: Launch, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The checkpoint after the third evaluation is what a run that is killed then leaves behind."""
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    _, newest = sorted((directory / "checkpoints").iterdir())
    newest.unlink()
    ended = launch(*_SMALL, f"--output_dir={directory}", "--resume")
    assert ended.code == 0
    assert "resuming from 384 steps" in ended.err
    assert _untimed(directory) == _untimed(whole)
    for name in ("policies/player_0.npz", "policies/player_1.npz"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes()


def test_tables_learn_from_exact_values_and_resume_to_the_same_digits(
    launch: Launch, tmp_path: pathlib.Path
) -> None:
    flags = ("--game=kuhn_poker", "--algorithm=tabular_mmd", "--evaluate_every=20")
    for name, steps in (("whole", 60), ("run", 40)):
        assert launch(*flags, f"--steps={steps}", f"--output_dir={tmp_path / name}").code == 0
    ended = launch(*flags, "--steps=60", f"--output_dir={tmp_path / 'run'}", "--resume")
    assert ended.code == 0
    assert "after 60 updates" in ended.out
    assert _untimed(tmp_path / "run") == _untimed(tmp_path / "whole")
    rows = read_csv(tmp_path / "run" / "metrics.csv")
    assert [row["gradient_steps"] for row in rows] == [0, 20, 40, 60]
    assert {row["env_steps"] for row in rows} == {0}
    assert rows[-1]["exploitability"] < 0.15
    policy = acme_psro.load_policy(tmp_path / "run")
    nash_conv = exploitability.nash_conv(load_game("kuhn_poker"), policy)
    assert nash_conv == pytest.approx(rows[-1]["nash_conv"], abs=1e-9)
    assert "updates" in (tmp_path / "run" / "report.html").read_text()


def test_a_finished_run_that_is_resumed_stays_as_it_is(
    launch: Launch, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    ended = launch(*_SMALL, f"--output_dir={directory}", "--resume")
    assert ended.code == 0 and "after 512 steps" in ended.out
    assert (directory / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_figures(launch: Launch, tmp_path: pathlib.Path) -> None:
    arguments = (*_SMALL, "--steps=12800", f"--output_dir={tmp_path / 'killed'}")
    process = start("experiments.run_self_play", *arguments)
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 120
    while not (checkpoints.exists() and any(checkpoints.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(read_csv(tmp_path / "killed" / "metrics.csv")) < 101
    assert launch(*arguments, "--resume").code == 0
    assert launch(*_SMALL, "--steps=12800", f"--output_dir={tmp_path / 'whole'}").code == 0
    assert _untimed(tmp_path / "killed") == _untimed(tmp_path / "whole")


def test_a_game_that_is_no_tree_is_played_as_a_graph(launch: Launch, tmp_path: pathlib.Path) -> None:
    """Kuhn poker has 58 histories, but only 29 states."""
    ended = launch(*_SMALL, "--steps=128", "--max_nodes=40", f"--output_dir={tmp_path}")
    assert ended.code == 0 and "as a graph of merged states" in ended.err
    nash_conv = exploitability.nash_conv(load_game("kuhn_poker"), acme_psro.load_policy(tmp_path))
    assert nash_conv == pytest.approx(read_csv(tmp_path / "metrics.csv")[-1]["nash_conv"], abs=1e-9)


def test_without_evaluations_along_the_way_there_is_one_at_the_end(
    launch: Launch, tmp_path: pathlib.Path
) -> None:
    ended = launch(*_SMALL, "--steps=65", "--evaluate_every=0", f"--output_dir={tmp_path / 'run'}")
    assert ended.code == 0
    # Steps are rounded up to whole rollouts.
    assert [row["env_steps"] for row in read_csv(tmp_path / "run" / "metrics.csv")] == [128]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--game=kuhn_pokr",), "kuhn_poker"),
        (("--algorithm=mdm",), "no algorithm named 'mdm'"),
        (("--steps=0",), "--steps must be at least 1"),
        (("--steps=many",), "--steps must be a whole number"),
        (("--set=entropie=1",), "did you mean entropy"),
        (("--set=rollout.num_games=0",), "num_games must be at least 1"),
        (("--set=minibatches=5",), "cannot be split into 5 minibatches"),
        (("--set=device.snapshots=2",), "there is no group 'device' of settings"),
        (("--resume",), "there is no run to resume"),
        (("--cpus_per_response=2",), "--cpus_per_response needs --executor=ray"),
        (("--executor=ray", "--ray_address=127.0.0.1:1"), "no Ray cluster answers at"),
    ],
)
def test_bad_input_ends_with_one_line(
    launch: Launch, tmp_path: pathlib.Path, arguments: tuple[str, ...], message: str
) -> None:
    directory = tmp_path / "run"
    ended = launch(*_SMALL, f"--output_dir={directory}", *arguments)
    assert ended.code == 2
    assert message in ended.err and ended.err.startswith("error: ")
    assert len([line for line in ended.err.splitlines() if line.startswith("error")]) == 1
    assert not directory.exists()


def test_a_directory_with_another_run_is_refused(launch: Launch, whole: pathlib.Path) -> None:
    for changed in ("--steps=1024", "--seed=1", "--set=entropy=0.5"):
        ended = launch(*_SMALL, f"--output_dir={whole}", "--resume", changed)
        assert ended.code == 2 and "another configuration" in ended.err


def test_a_run_can_be_configured_by_the_file_of_another(
    launch: Launch, whole: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    ended = launch(f"--config={whole}", f"--output_dir={tmp_path / 'again'}")
    assert ended.code == 0
    assert _untimed(tmp_path / "again") == _untimed(whole)


def test_it_is_not_taken_for_a_run_of_populations(whole: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="is a run of self-play, which has no populations"):
        acme_psro.load_run(whole)


def test_the_command_is_a_word_of_acme_psro() -> None:
    assert COMMANDS["self-play"].module == "acme_psro.commands.run_self_play"
