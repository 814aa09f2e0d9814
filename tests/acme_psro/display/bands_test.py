"""Tests of acme_psro.display.bands."""

import math

import numpy as np
import pytest

from acme_psro.display import bands
from acme_psro.display.bands import Curve


def test_margins_are_students_t() -> None:
    # With 2 degrees of freedom, 95 % of values lie within 4.3027 standard errors.
    mean, margin = bands.mean_and_margin(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_allclose(mean, [2.0, 5.0])
    np.testing.assert_allclose(margin, [4.302653 / math.sqrt(3), 0.0], rtol=1e-6)


def test_equal_values_leave_no_margin_and_one_seed_has_none() -> None:
    _, margin = bands.mean_and_margin(np.full((5, 1), 1 / 3) + np.arange(5)[:, None] * 1e-17)
    np.testing.assert_array_equal(margin, [0.0])
    mean, margin = bands.mean_and_margin(np.array([[0.25]]))
    np.testing.assert_array_equal(mean, [0.25])
    assert math.isnan(margin[0])


def test_bands_hold_the_mean_about_as_often_as_they_say() -> None:
    values = np.random.default_rng(0).normal(7.0, 3.0, (5, 4000))
    mean, margin = bands.mean_and_margin(values)
    assert np.mean(np.abs(mean - 7.0) <= margin) == pytest.approx(0.95, abs=0.01)


def test_a_value_holds_until_the_next_position() -> None:
    band = bands.make_band("", [Curve([0, 10, 20], [4.0, 2.0, 1.0]), Curve([0, 5, 20], [2.0, 1.0, 1.0])])
    np.testing.assert_array_equal(band.x, [0, 5, 10, 20])
    np.testing.assert_array_equal(band.mean, [3.0, 2.5, 1.5, 1.0])
    assert (band.low >= 0).all()
    np.testing.assert_allclose(band.high - band.mean, 12.706205 * np.array([1.0, 1.5, 0.5, 0.0]), rtol=1e-6)


def test_a_band_begins_where_all_have_begun() -> None:
    band = bands.make_band("", [Curve([2, 4], [1.0, 1.0]), Curve([3, 4], [3.0, 1.0])])
    np.testing.assert_array_equal(band.x, [3, 4])
    np.testing.assert_array_equal(band.mean, [2.0, 1.0])


def test_a_band_ends_with_the_first_run_that_has_not_converged() -> None:
    short, long = Curve([0, 1], [1.0, 0.5]), Curve([0, 1, 2, 3], [1.0, 0.5, 0.25, 0.0])
    np.testing.assert_array_equal(bands.make_band("", [short, long]).x, [0, 1])
    # The last value of a run that has converged holds for good.
    band = bands.make_band("", [short._replace(has_converged=True), long])
    np.testing.assert_array_equal(band.x, [0, 1, 2, 3])
    np.testing.assert_array_equal(band.mean, [1.0, 0.5, 0.375, 0.25])
    both = [short._replace(has_converged=True), long._replace(has_converged=True)]
    np.testing.assert_array_equal(bands.make_band("", both).x, [0, 1, 2, 3])


def test_a_run_that_ended_before_another_began_leaves_one_point() -> None:
    band = bands.make_band("", [Curve([0, 1], [1.0, 0.5]), Curve([5, 6], [0.25, 0.0])])
    np.testing.assert_array_equal(band.x, [5])
    np.testing.assert_array_equal(band.mean, [0.375])


@pytest.mark.parametrize("last", [0.001, 0.0])
def test_means_bands_and_seeds_are_drawn(last: float) -> None:
    seeds = [Curve([0, 1, 2], [1.0, 0.1 * seed, last]) for seed in (1, 2, 3)]
    band = bands.make_band("exploitability", seeds)
    svg = bands.draw_bands("name", [band], [seeds], "iteration", "game units")
    assert svg.startswith("<svg") and svg.endswith("</svg>")
    assert "exploitability" in svg and "iteration" in svg
    assert "var(--series-0)" in svg and "var(--series-1)" not in svg
    assert 'aria-label="game units over iteration, mean of seeds"' in svg
    assert svg == bands.draw_bands("name", [band], [seeds], "iteration", "game units")


def test_one_seed_is_drawn_without_a_band() -> None:
    seeds = [Curve([0], [0.5])]
    band = bands.make_band("exploitability", seeds)
    assert math.isnan(band.low[0]) and math.isnan(band.high[0])
    assert "<svg" in bands.draw_bands("name", [band], [seeds], "episodes", "game units")
