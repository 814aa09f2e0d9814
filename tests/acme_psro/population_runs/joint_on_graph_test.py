"""JPSRO of three players in games that are graphs: exact gaps, resuming, evaluation, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python import policy as openspiel_policy

import acme_psro
from acme_psro.commands import evaluate
from acme_psro.games.loading import load_game
from acme_psro.policies.meta_strategy import JointStrategy
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.population_runs.left_behind import copy_of_killed
from tests.acme_psro.population_runs.on_graph_test import KUHN

pytestmark = [pytest.mark.usefixtures("quick_module"), pytest.mark.long]

# The tree has 617 nodes.
THREE: dict[str, Any] = {**KUHN, "game": "kuhn_poker(players=3)", "max_nodes": 600, "loop": "jpsro"}


@pytest.fixture(name="result", scope="module")
def _result(tmp_path_factory: pytest.TempPathFactory) -> acme_psro.Result:
    directory = tmp_path_factory.mktemp("graph") / "run"
    return acme_psro.run(**THREE, iterations=2, output_dir=directory)


def openspiels_mixture(result: acme_psro.Result, joint: JointStrategy) -> list[tuple[float, pyspiel.Policy]]:
    """Returns the joint distribution as OpenSpiel takes it: probabilities, and policies of all players."""
    game = load_game(THREE["game"])
    mixed = []
    for profile, weight in zip(joint.profiles, joint.probabilities, strict=True):
        members = [result.member(player, int(index)) for player, index in enumerate(profile)]

        def play(state: pyspiel.State, members: list[Any] = members) -> dict[int, float]:
            return members[state.current_player()].action_probabilities(state)

        tabular = openspiel_policy.tabular_policy_from_callable(game, play)
        mixed.append((float(weight), openspiel_policy.python_policy_to_pyspiel_policy(tabular)))
    return mixed


def test_gaps_are_openspiels(result: acme_psro.Result) -> None:
    joint, row = result.meta_strategy, result.metrics[-1]
    assert isinstance(joint, JointStrategy)
    mixed, game = openspiels_mixture(result, joint), pyspiel.load_game(THREE["game"])
    gains = [
        pyspiel.cce_dist(game, mixed, player, 0.0, -1.0).best_response_values[0]
        - joint.probabilities @ result.payoffs[player][tuple(joint.profiles.T)]
        for player in range(3)
    ]
    np.testing.assert_allclose([row[f"cce_gain_{player}"] for player in range(3)], gains, atol=1e-9)
    assert row["cce_gap"] == pytest.approx(sum(gains), abs=1e-9)
    assert row["welfare"] == pytest.approx(0.0, abs=1e-9)
    # It is a search for each recommendation, which only correlated equilibria need.
    assert "ce_gap" not in row


def test_gaps_of_responses_are_over_the_joint_distribution_before(result: acme_psro.Result) -> None:
    before, row = result.metrics[0], result.metrics[1]
    for player in range(3):
        assert row[f"relative_gap_{player}"] == pytest.approx(
            row[f"gap_{player}"] / before[f"cce_gain_{player}"]
        )


def test_the_stored_run_is_evaluated_to_the_same_figures(
    result: acme_psro.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(evaluate.main, f"--run_dir={result.run_dir}") == 0

    told = json.loads(capsys.readouterr().out)
    row = result.metrics[-1]
    assert told["nash_conv"] == pytest.approx(row["nash_conv"], abs=1e-12)
    assert told["cce_gap"] == pytest.approx(row["cce_gap"], abs=1e-12)
    assert told["ce_gap"] is None and told["welfare"] == pytest.approx(row["welfare"], abs=1e-12)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(result: acme_psro.Result, tmp_path: Path) -> None:
    killed = copy_of_killed(result.run_dir, tmp_path / "run")

    resumed = acme_psro.run(**THREE, iterations=2, output_dir=killed, resume=True)

    assert repr(untimed(resumed.run_dir)) == repr(untimed(result.run_dir))


@pytest.mark.slow
@pytest.mark.parametrize("ce_responses", ["largest_gap", "all"])
def test_correlated_equilibria_have_gaps_after_recommendations(ce_responses: str, tmp_path: Path) -> None:
    result = acme_psro.run(
        **THREE,
        meta_solver="max_gini_ce",
        ce_responses=ce_responses,
        iterations=2,
        output_dir=tmp_path / "run",
    )
    for row in result.metrics:
        # A recommendation is information: it never lowers what there is to gain.
        assert row["ce_gap"] >= row["cce_gap"] - 1e-9
    assert result.metrics[0]["ce_gap"] > result.metrics[-1]["ce_gap"]
