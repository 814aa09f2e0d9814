"""Populations in one network on games that are no trees: exact figures, resuming, loading, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability

import acme_psro
from acme_psro.commands import evaluate, run_neupl, run_psro
from acme_psro.games.loading import load_game
from acme_psro.neupl.history import read_history
from acme_psro.storage import run_directory
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.population_runs.left_behind import copy_of_killed

pytestmark = pytest.mark.usefixtures("quick_module")

# Kuhn poker's tree has 58 nodes, its graph 29. The budget learns next to nothing, fast.
_NEUPL = {
    "population_size": 3,
    "rounds": 1,
    "num_envs": 16,
    "updates_per_round": 4,
    "batch_size": 16,
    "buffer_size": 200,
}
_AGENT = {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)}
KUHN: dict[str, Any] = {
    "game": "kuhn_poker",
    "loop": "neupl",
    "max_nodes": 40,
    "neupl": _NEUPL,
    "agent_settings": _AGENT,
    "show_progress": False,
}


@pytest.fixture(name="result", scope="module")
def _result(tmp_path_factory: pytest.TempPathFactory) -> acme_psro.Result:
    return acme_psro.run(**KUHN, iterations=3, output_dir=tmp_path_factory.mktemp("graph") / "run")


def test_figures_are_openspiels(result: acme_psro.Result) -> None:
    game, policy = load_game("kuhn_poker"), result.policy()

    last = result.metrics[-1]
    assert (last["iteration"], last["gradient_steps"], last["env_steps"]) == (3, 12, 3 * 2 * 16 * 2)
    assert last["nash_conv"] == pytest.approx(exploitability.nash_conv(game, policy), abs=1e-9)
    # Gains of members are not those of responses to the mixture.
    assert math.isnan(last["gap_0"])


def test_payoffs_are_those_of_the_members_as_openspiel_policies(result: acme_psro.Result) -> None:
    root = load_game("kuhn_poker").new_initial_state()
    for row, column in ((0, 0), (1, 0), (2, 1)):
        pair = [result.member(0, row), result.member(1, column)]
        expected = expected_game_score.policy_value(root, pair)
        np.testing.assert_allclose(result.payoffs[:, row, column], expected, atol=1e-9)


def test_members_are_stochastic_and_the_sink_stays(result: acme_psro.Result) -> None:
    run = run_directory.read(result.run_dir)
    assert isinstance(run, run_directory.StoredGraphRun)
    assert result.population_sizes == (3, 3)
    for player, own in enumerate(run.record.state.populations):
        uniform = run.graph.uniform_policy()[run.graph.rows_of(player)]
        np.testing.assert_array_equal(own[0].table, uniform)
        for member in own[1:]:
            assert 0 < np.abs(member.table - uniform).max() < 0.5
    history = read_history(run.record.memory)
    assert history is not None
    assert list(history.epochs) == [1, 2, 3]
    assert "Interaction graph" in (result.run_dir / "report.html").read_text()


def test_the_stored_run_is_evaluated_to_the_same_figures(
    result: acme_psro.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(evaluate.main, f"--run_dir={result.run_dir}") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["nash_conv"] == pytest.approx(result.metrics[-1]["nash_conv"], abs=1e-12)
    assert told["populations"] == [3, 3]
    policy = acme_psro.load_policy(result.run_dir)
    root = load_game("kuhn_poker").new_initial_state()
    values = expected_game_score.policy_value(root, [policy, policy])
    np.testing.assert_allclose(values, told["expected_returns"], atol=1e-9)


@pytest.mark.long
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(result: acme_psro.Result, tmp_path: Path) -> None:
    killed = copy_of_killed(result.run_dir, tmp_path / "run")

    resumed = acme_psro.run(**KUHN, iterations=3, output_dir=killed, resume=True)

    assert repr(untimed(resumed.run_dir)) == repr(untimed(result.run_dir))
    np.testing.assert_array_equal(resumed.payoffs, result.payoffs)


@pytest.mark.long
def test_estimated_payoffs_leave_the_figures_exact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = KUHN | {"neupl": {**_NEUPL, "payoffs": "estimated", "simplex": 0.5}}
    estimated = acme_psro.run(**settings, iterations=2, exact_every=2, output_dir=tmp_path / "run")

    known = [not math.isnan(row["nash_conv"]) for row in estimated.metrics]
    assert known == [True, False, True]
    last = estimated.metrics[-1]
    nash_conv = exploitability.nash_conv(load_game("kuhn_poker"), estimated.policy())
    assert last["nash_conv"] == pytest.approx(nash_conv, abs=1e-9)
    assert last["payoff_error"] > 0
    # One hundred searches for exact responses would take minutes.
    assert math.isnan(last["simplex_gap"])
    assert exit_code(evaluate.main, f"--run_dir={estimated.run_dir}") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["nash_conv"] == pytest.approx(nash_conv, abs=1e-9)


@pytest.mark.long
def test_seeds_side_by_side_are_single_runs(result: acme_psro.Result, tmp_path: Path) -> None:
    root = tmp_path / "seeds"
    flags = [f"--set=neupl.{name}={value}" for name, value in _NEUPL.items()]
    flags += [f"--set=agent_settings.{name}=[16]" for name in _AGENT]

    flags += ["--game=kuhn_poker", "--max_nodes=40", "--epochs=3", "--num_seeds=2"]
    assert exit_code(run_neupl.main, *flags, f"--output_dir={root}") == 0

    assert repr(untimed(root / "seed_0")) == repr(untimed(result.run_dir))
    assert repr(untimed(root / "seed_1")) != repr(untimed(result.run_dir))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--max_nodes=10",), "10 nodes"),
        (("--max_nodes=40", "--freezing"), "--freezing needs a game that compiles to a tree"),
        (("--max_nodes=40", "--exact_every=0"), "exact_every must be at least 1"),
        (("--max_nodes=40", "--oracle=exact"), "has more than 40 nodes"),
    ],
)
def test_bad_input_is_one_line(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--game=kuhn_poker", "--loop=neupl", *flags, f"--output_dir={tmp_path / 'run'}")
    assert exit_code(run_psro.main, *given) == 2

    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
