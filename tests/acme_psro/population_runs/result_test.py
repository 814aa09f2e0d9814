"""Results of runs: what a directory holds is what the run's own functions compute."""

import pathlib

import numpy as np
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability

from acme_psro.games.loading import load_game
from acme_psro.policies.meta_strategy import require_product
from acme_psro.population_runs.result import Result, load_run
from acme_psro.storage.run_config import RunDirectoryError

RUNS = pathlib.Path(__file__).parents[2] / "data" / "runs_of_0_1"
KINDS = ["table", "sampled"]


@pytest.fixture(scope="module", params=KINDS)
def result(request: pytest.FixtureRequest) -> Result:
    return load_run(RUNS / request.param)


def test_shapes_agree(result: Result) -> None:
    players = len(result.population_sizes)
    assert result.payoffs.shape == (players, *result.population_sizes)
    assert len(result.metrics) == len(result.meta_strategies)
    assert [row["iteration"] for row in result.metrics] == list(range(len(result.metrics)))
    for player, size in enumerate(result.population_sizes):
        weights = require_product(result.meta_strategy).marginals[player]
        assert weights.shape == (size,) and weights.sum() == pytest.approx(1)
    if result.payoff_standard_errors is not None:
        assert result.payoff_standard_errors.shape == result.payoffs.shape


def test_the_policy_has_the_exploitability_of_the_last_row() -> None:
    result = load_run(RUNS / "table")
    nash_conv = exploitability.nash_conv(load_game(result.game), result.policy())
    assert nash_conv == pytest.approx(result.metrics[-1]["nash_conv"], abs=1e-9)


def test_payoffs_are_what_openspiel_computes_from_members(result: Result) -> None:
    game = load_game(result.game)
    profile = [size - 1 for size in result.population_sizes]
    policies = [result.member(player, index) for player, index in enumerate(profile)]
    returns = np.array(expected_game_score.policy_value(game.new_initial_state(), policies))
    stored = result.payoffs[(slice(None), *profile)]
    if result.payoff_standard_errors is None:
        np.testing.assert_allclose(stored, returns, atol=1e-9)
    else:
        errors = result.payoff_standard_errors[(slice(None), *profile)]
        assert (np.abs(stored - returns) < 5 * errors).all()


def test_policies_that_are_not_there_are_refused(result: Result) -> None:
    with pytest.raises(IndexError, match="player 0 has policies 0 to"):
        result.member(0, result.population_sizes[0])


def test_a_directory_without_a_run_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunDirectoryError, match="there is no run in"):
        load_run(tmp_path)
