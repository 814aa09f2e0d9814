"""Runs of JPSRO: figures, resumption, evaluation, export and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import acme_psro
from acme_psro.commands import evaluate
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.result import Result, load_run
from acme_psro.storage import run_directory

GAME = "kuhn_poker(players=3)"


def _run(directory: Path, iterations: int, **options: object) -> Result:
    return acme_psro.run(
        GAME,
        loop="jpsro",
        oracle="exact",
        iterations=iterations,
        output_dir=directory,
        show_progress=False,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return _run(tmp_path_factory.mktemp("joint") / "run", 30)


def test_it_ends_in_a_coarse_correlated_equilibrium(finished: Result) -> None:
    last = finished.metrics[-1]
    assert last["cce_gap"] <= 3e-7 < last["ce_gap"]
    assert last["welfare"] == pytest.approx(0.0, abs=1e-9)
    # Independent draws from the marginals are no equilibrium.
    assert last["nash_conv"] > 1e-3 and last["exploitability"] == pytest.approx(last["nash_conv"] / 3)
    assert last["meta_regret"] <= 1e-7
    assert finished.config["meta_solver"] == "max_gini_cce"


def test_a_resumed_run_is_the_run_itself(finished: Result, tmp_path: Path) -> None:
    _run(tmp_path / "run", 3)
    resumed = _run(tmp_path / "run", 30, resume=True)
    timed = ("wall_seconds", "iteration_seconds")
    for ours, theirs in zip(resumed.metrics, finished.metrics, strict=True):
        for name in ours:
            same = ours[name] == theirs[name] or (math.isnan(ours[name]) and math.isnan(theirs[name]))
            assert name in timed or same, name
    for one, other in zip(resumed.meta_strategies, finished.meta_strategies, strict=True):
        assert isinstance(one, JointStrategy) and isinstance(other, JointStrategy)
        np.testing.assert_array_equal(one.profiles, other.profiles)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_runs_of_correlated_equilibria_say_to_which_recommendations_players_respond(
    finished: Result, tmp_path: Path
) -> None:
    assert "ce_responses" not in finished.config
    run = _run(tmp_path / "run", 1, meta_solver="max_gini_ce", ce_responses="all")
    assert run.config["ce_responses"] == "all"
    usual = PSROConfig(GAME, loop="jpsro", oracle="exact", meta_solver="max_gini_ce")
    assert usual.to_json()["ce_responses"] == "largest_gap"


def test_evaluation_tells_the_gaps_of_the_distribution_and_of_its_marginals(finished: Result) -> None:
    told = evaluate.describe(run_directory.read(finished.run_dir))
    last = finished.metrics[-1]
    for name in ("cce_gap", "ce_gap", "welfare", "nash_conv"):
        assert told[name] == pytest.approx(last[name], abs=1e-12)
    assert sum(told["per_player_ce_gain"]) == pytest.approx(told["ce_gap"])
    assert told["profiles"] == len(load_run(finished.run_dir).meta_strategy.probabilities)  # type: ignore[union-attr]
    json.dumps(told)


def test_a_joint_distribution_is_no_single_policy_unless_players_draw_independently(finished: Result) -> None:
    with pytest.raises(ValueError, match=r"by a joint distribution over \d+ profiles.*member\("):
        acme_psro.load_policy(finished.run_dir)
    assert finished.member(2, 1).action_probabilities is not None


def test_a_single_profile_is_a_policy(tmp_path: Path) -> None:
    run = acme_psro.run(
        "matrix_pd", loop="jpsro", oracle="exact", iterations=5, output_dir=tmp_path, show_progress=False
    )
    assert run.metrics[-1]["cce_gap"] <= 1e-7
    policy = acme_psro.load_policy(tmp_path)
    state = policy.game.new_initial_state()
    # Both defect.
    assert policy.action_probabilities(state) == {0: 0.0, 1: 1.0}


def test_the_report_draws_the_gaps(finished: Result) -> None:
    page = (finished.run_dir / "report.html").read_text()
    assert "CCE gap" in page and "CE gap" in page and "Welfare" in page


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"meta_solver": "nash"}, "nash returns marginals, and loop=.jpsro. needs a joint"),
        (
            {"loop": "psro", "meta_solver": "max_gini_ce"},
            "returns a joint distribution, and loop=.psro. needs",
        ),
        ({"ce_responses": "all"}, "ce_responses needs loop=.jpsro. with a meta-solver of correlated"),
        (
            {"meta_solver": "max_gini_ce", "ce_responses": "some"},
            "no choice of responses named 'some'; use one of largest_gap, all",
        ),
    ],
)
def test_bad_input(options: dict[str, object], says: str, tmp_path: Path) -> None:
    given: dict[str, object] = {"loop": "jpsro", "oracle": "exact", **options}
    with pytest.raises(ValueError, match=says) as refusal:
        acme_psro.run(GAME, output_dir=tmp_path / "run", show_progress=False, **given)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()
