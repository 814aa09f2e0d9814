"""Rows of metrics: what trained exploiters gain bounds what there is to gain from below."""

import math

import numpy as np
import pytest

from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.oracles.base import Counts, Response
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.population_runs.metrics import fill_gains, is_known, sampled_row, wall_seconds
from acme_psro.psro.loop import PSROState


@pytest.fixture
def state() -> PSROState:
    payoffs = SampledPayoffs(np.zeros((2, 1, 2)), np.array([[30, 12]]), np.zeros((2, 1, 2)))
    strategy = ProductStrategy((np.ones(1), np.array([0.5, 0.5])))
    return PSROState((("a",), ("b", "c")), payoffs, strategy, 4, Counts(100, 200, 300), ())


def response(gain: float, error: float) -> Response:
    return Response(None, gain, math.nan, standard_error=error)


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


def test_gains_below_nothing_count_as_nothing(state: PSROState) -> None:
    row = sampled_row(state, 2.5, 60.0)
    filled = fill_gains(row, [response(0.5, 0.3), response(-0.2, 0.4)])
    assert is_known(filled) and not is_known(row)
    assert list(filled) == list(row)
    assert (filled["gain_0"], filled["gain_1"], filled["nash_conv"]) == (0.5, 0.0, 0.5)
    assert (filled["gain_0_stderr"], filled["gain_1_stderr"]) == (0.3, 0.4)
    assert filled["exploitability"] == 0.25
    assert filled["nash_conv_stderr"] == pytest.approx(0.5)
    assert filled["exploitability_stderr"] == pytest.approx(0.25)
    assert {name: filled[name] for name in ("episodes", "population_0")} == {
        "episodes": 142,
        "population_0": 1,
    }


def test_the_first_row_has_what_starting_took() -> None:
    assert wall_seconds([], 0.0, 7.5) == 7.5
    assert wall_seconds([{"wall_seconds": 7.5}], 2.0, 1000.0) == 9.5
