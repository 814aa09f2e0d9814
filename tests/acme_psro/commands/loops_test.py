"""Tests of `--loop`: every loop runs, resumes, is evaluated and loads, and what does not fit is refused."""

import json
import pathlib
import sys
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import evaluate, run_psro
from acme_psro.games.loading import load_game
from acme_psro.psro.registry import LOOPS
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Launch, make_launch
from tests.acme_psro.population_runs.left_behind import copy_of_killed

_TIMINGS = ("wall_seconds", "iteration_seconds")
# A budget that learns next to nothing, fast. XDO keeps its games, which a checkpoint must hold.
_DEVICE = (
    *("--oracle=device", "--gradient_steps_per_response=20", "--batch_size=32"),
    *("--set=agent_settings.critic_hidden_sizes=[16]", "--set=agent_settings.policy_hidden_sizes=[16]"),
)
_GAMES = {
    "anytime": ("--num_envs=32", "--buffer_size=1000"),
    "xdo": ("--set=device.games_per_response=40", "--set=device.max_games_per_response=80"),
}


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_psro.main, capsys)


def _untimed(directory: pathlib.Path) -> str:
    rows = read_csv(directory / "metrics.csv")
    # As text, because NaN does not equal itself.
    return repr([{name: value for name, value in row.items() if name not in _TIMINGS} for row in rows])


@pytest.mark.parametrize("loop", [name for name, entry in LOOPS.items() if not entry.distils])
def test_a_run_is_evaluated_and_loads_with_the_figures_that_it_printed(
    launch: Launch, capsys: Any, tmp_path: pathlib.Path, loop: str
) -> None:
    ended = launch(
        "--game=kuhn_poker", "--oracle=exact", f"--loop={loop}", "--iterations=3", f"--output_dir={tmp_path}"
    )
    assert (ended.code, ended.err) == (0, "")
    assert json.loads((tmp_path / "config.json").read_text())["loop"] == loop
    rows = read_csv(tmp_path / "metrics.csv")
    assert "<svg" in (tmp_path / "report.html").read_text()
    figures = make_launch(evaluate.main, capsys)(f"--run_dir={tmp_path}")
    described = json.loads(figures.out)
    assert described["loop"] == loop
    for name in ("exploitability", "population_exploitability"):
        assert described[name] == pytest.approx(rows[-1][name], abs=1e-9)
    policy = acme_psro.load_policy(tmp_path)
    theirs = exploitability.nash_conv(load_game("kuhn_poker"), policy)
    assert theirs == pytest.approx(rows[-1]["nash_conv"], abs=1e-6)
    result = acme_psro.load_run(tmp_path)
    assert len(result.meta_strategies) == len(rows)
    assert result.payoffs.shape == (2, *result.population_sizes)


# Tests of the command itself kill and resume such a run of PSRO.
@pytest.mark.long
@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("loop", [pytest.param("anytime", marks=pytest.mark.slow), "xdo"])
def test_a_run_with_learned_responses_goes_on_as_if_it_had_never_stopped(
    launch: Launch, tmp_path: pathlib.Path, loop: str
) -> None:
    run = ("--game=kuhn_poker", f"--loop={loop}", *_DEVICE, *_GAMES[loop])
    whole = tmp_path / "whole"
    assert launch(*run, "--iterations=3", f"--output_dir={whole}").code == 0
    killed = copy_of_killed(whole, tmp_path / "killed")
    assert launch(*run, "--iterations=3", f"--output_dir={killed}", "--resume").code == 0
    assert _untimed(whole) == _untimed(killed)
    rows = read_csv(whole / "metrics.csv")
    # Learned responses are slow enough for the figure to be known after every iteration.
    assert all(np.isfinite(row["population_exploitability"]) for row in rows)


def test_xdo_s_report_shows_the_restricted_game(launch: Launch, tmp_path: pathlib.Path) -> None:
    launch("--game=kuhn_poker", "--oracle=exact", "--loop=xdo", f"--output_dir={tmp_path}")
    report = (tmp_path / "report.html").read_text()
    assert "Size of the restricted game" in report
    assert "only the responses are learned" in report
    assert "Population exploitability" in report
    assert "Meta-strategy of player" not in report


def test_without_a_guarantee_the_outcome_says_so(launch: Launch, tmp_path: pathlib.Path) -> None:
    ended = launch(
        "--game=kuhn_poker(players=3)",
        "--oracle=exact",
        "--loop=xdo",
        "--iterations=2",
        f"--output_dir={tmp_path}",
    )
    assert ended.code == 0
    assert "no guarantee" in ended.out
    assert "no guarantee" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ("--game=kuhn_poker", "--oracle=exact", "--loop=nxdo"),
            "jpsro, neupl, neupl_jpsro, psro, rectified, xdo",
        ),
        (("--game=kuhn_poker", "--loop=xdo", "--num_envs=8"), "--set=device.games_per_response=0"),
        (("--game=kuhn_poker", "--oracle=exact", "--loop=xdo", "--meta_solver=nash"), "--loop=psro"),
        (("--game=kuhn_poker(players=3)", "--oracle=exact", "--loop=anytime"), "psro, xdo"),
        (("--game=matrix_pd", "--oracle=exact", "--loop=anytime"), "general-sum"),
        (("--game=kuhn_poker", "--oracle=launchpad", "--payoffs=sampled", "--loop=xdo"), "--loop=psro"),
        pytest.param(
            ("--game=kuhn_poker", "--oracle=launchpad", "--max_nodes=10", "--loop=xdo"),
            "--loop=xdo needs a game that compiles",
            # Whether the game compiles is known only after the Acme layer was looked for.
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_one_line(
    launch: Launch, tmp_path: pathlib.Path, arguments: tuple[str, ...], named: str
) -> None:
    directory = tmp_path / "run"
    ended = launch(*arguments, f"--output_dir={directory}")
    assert ended.code == 2
    assert named in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not directory.exists()


def test_a_run_is_not_resumed_with_another_loop(launch: Launch, tmp_path: pathlib.Path) -> None:
    run = ("--game=kuhn_poker", "--oracle=exact", "--iterations=2", f"--output_dir={tmp_path}")
    assert launch(*run, "--loop=xdo").code == 0
    ended = launch(*run, "--loop=anytime", "--resume")
    assert ended.code == 2
    assert "loop is xdo, not anytime" in ended.err
