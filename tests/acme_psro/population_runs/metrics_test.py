"""Tests of rows of metrics, in which gains of trained exploiters are lower bounds."""

import dataclasses
import math

import numpy as np
import pytest

from acme_psro.evaluation.exact import Evaluation
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.oracles.base import Counts, Response
from acme_psro.policies.meta_strategy import BehaviouralStrategy, JointStrategy, ProductStrategy
from acme_psro.population_runs.metrics import (
    BOUND_ERRORS,
    align,
    exact_row,
    fill_gains,
    is_known,
    no_player_gains,
    sampled_row,
    wall_seconds,
)
from acme_psro.psro.loop import PSROState
from acme_psro.solvers.properties import Concept


@pytest.fixture
def state() -> PSROState:
    payoffs = SampledPayoffs(np.zeros((2, 1, 2)), np.array([[30, 12]]), np.zeros((2, 1, 2)))
    strategy = ProductStrategy((np.ones(1), np.array([0.5, 0.5])))
    return PSROState((("a",), ("b", "c")), payoffs, strategy, 4, Counts(100, 200, 300), ())


def response(gain: float, error: float, own_error: float = 0.0) -> Response:
    return Response(None, gain, math.nan, standard_error=error, own_error=own_error)


def test_a_row_waits_for_its_exploiters(state: PSROState) -> None:
    row = sampled_row(state, 2.5, 60.0)
    assert list(row)[:7] == [
        "iteration",
        "wall_seconds",
        "episodes",
        "env_steps",
        "gradient_steps",
        "nash_conv",
        "exploitability",
    ]
    assert not is_known(row) and math.isnan(row["gain_1_stderr"])
    assert (row["iteration"], row["wall_seconds"], row["iteration_seconds"]) == (4, 60.0, 2.5)
    assert (row["episodes"], row["payoff_episodes"]) == (142, 42)
    assert (row["population_0"], row["population_1"]) == (1, 2)


def test_gains_below_nothing_count_in_the_sum(state: PSROState) -> None:
    """Otherwise the sum would be above its true value on average."""
    row = sampled_row(state, 2.5, 60.0)
    filled = fill_gains(row, [response(0.5, 0.3), response(-0.2, 0.4)])
    assert is_known(filled) and not is_known(row)
    assert list(filled) == list(row)
    assert (filled["gain_0"], filled["gain_1"]) == (0.5, -0.2)
    assert filled["nash_conv"] == pytest.approx(0.3)
    assert (filled["gain_0_stderr"], filled["gain_1_stderr"]) == (0.3, 0.4)
    assert filled["exploitability"] == pytest.approx(0.15)
    assert filled["nash_conv_stderr"] == pytest.approx(0.5)
    assert filled["exploitability_stderr"] == pytest.approx(0.25)
    assert {name: filled[name] for name in ("episodes", "population_0")} == {
        "episodes": 142,
        "population_0": 1,
    }


def test_the_first_row_has_what_starting_took() -> None:
    assert wall_seconds([], 0.0, 7.5) == 7.5
    assert wall_seconds([{"wall_seconds": 7.5}], 2.0, 1000.0) == 9.5


def test_bounds_stay_below_the_estimates_and_not_below_nothing(state: PSROState) -> None:
    row = sampled_row(state, 2.5, 60.0)
    filled = fill_gains(row, [response(0.5, 0.03), response(0.02, 0.04)])
    assert filled["nash_conv_lower"] == pytest.approx(0.52 - BOUND_ERRORS * 0.05)
    assert filled["exploitability_lower"] == pytest.approx(filled["nash_conv_lower"] / 2)
    assert filled["gain_0_lower"] == pytest.approx(0.5 - BOUND_ERRORS * 0.03)
    assert filled["gain_1_lower"] == 0.0
    # The probability that a normal variable exceeds the bound.
    assert 0.5 * math.erfc(BOUND_ERRORS / math.sqrt(2)) == pytest.approx(0.05, abs=1e-4)


def test_errors_of_own_returns_cancel_if_returns_add_up_to_a_constant(state: PSROState) -> None:
    row = sampled_row(state, 2.5, 60.0)
    exploiters = [response(0.5, 0.5, own_error=0.3), response(0.2, 0.5, own_error=0.4)]
    assert fill_gains(row, exploiters)["nash_conv_stderr"] == pytest.approx(math.hypot(0.5, 0.5))
    cancelled = fill_gains(row, exploiters, constant_sum=True)
    assert cancelled["nash_conv_stderr"] == pytest.approx(math.hypot(0.4, 0.3))
    assert cancelled["exploitability_stderr"] == pytest.approx(0.25)
    assert (cancelled["gain_0_stderr"], cancelled["nash_conv"]) == (0.5, pytest.approx(0.7))


def test_rows_know_the_regret_in_the_meta_game(state: PSROState) -> None:
    payoffs = SampledPayoffs(np.array([[[1.0, 3.0]], [[2.0, 8.0]]]), np.array([[9, 9]]), np.zeros((2, 1, 2)))
    state = dataclasses.replace(state, payoffs=payoffs)
    # Player 1 has 2 and 8 with equal weights, so it gains 3 by its second policy.
    assert sampled_row(state, 0.0, 0.0)["meta_regret"] == pytest.approx(3.0)
    figures = Evaluation(np.zeros(2), np.array([4.0, 5.0]))
    row = exact_row(dataclasses.replace(state, payoffs=payoffs.mean), figures, 0.0, 0.0, 1e-7)
    assert (row["meta_regret"], row["nash_conv"]) == (pytest.approx(3.0), 9.0)
    joint = JointStrategy(np.array([[0, 0], [0, 1]]), np.array([0.5, 0.5]))
    state = dataclasses.replace(state, payoffs=payoffs.mean, meta_strategy=joint)
    assert exact_row(state, figures, 0.0, 0.0, 1e-7)["meta_regret"] == pytest.approx(3.0)
    mixed = dataclasses.replace(state, meta_strategy=BehaviouralStrategy((np.ones((1, 1)), np.ones((1, 1)))))
    assert math.isnan(exact_row(mixed, figures, 0.0, 0.0, 1e-7)["meta_regret"])


def test_rows_of_earlier_versions_are_given_the_columns_that_they_lack() -> None:
    old, new = {"iteration": 0.0, "nash_conv": 1.0}, {"iteration": 1.0, "meta_regret": 0.1, "nash_conv": 0.5}
    first, second = align([old, new])
    assert list(first) == list(second) == ["iteration", "meta_regret", "nash_conv"]
    assert math.isnan(first["meta_regret"]) and (first["nash_conv"], second) == (1.0, new)


def test_nobody_gains_if_all_gains_are_within_the_tolerance() -> None:
    row = {"gain_0": 0.1, "gain_1": 0.2, "gain_0_stderr": 9.0}
    assert no_player_gains(row, 0.2) and not no_player_gains(row, 0.1)
    # Nothing is known of gains that a row does not have.
    assert not no_player_gains({"nash_conv": 0.0}, 1.0)
    # Over a joint distribution, what players gain if they draw apart does not count.
    joint = row | {"cce_gap": 0.05, "ce_gap": 0.3}
    assert no_player_gains(joint, 0.1, Concept.CCE) and not no_player_gains(joint, 0.1, Concept.CE)
    assert not no_player_gains(row | {"cce_gap": math.nan}, 0.1, Concept.CCE)
