"""Tests of acme_psro.display.heat_maps."""

import base64
import io
import re

import matplotlib.image
import numpy as np
import pytest

from acme_psro.display import heat_maps


def _pictures(svg: str) -> list[np.ndarray]:
    """Returns the pictures in a figure as `[rows, columns, 4]`, the lowest row first."""
    encoded = re.findall(r"data:image/png;base64,([^\"]*)", svg)
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png") for data in encoded]


def _heat_map(svg: str) -> np.ndarray:
    """Returns a heat map's picture, upright, row 0 first, and checks that a colour bar is there."""
    picture, bar = _pictures(svg)
    assert bar.shape[:2] == (128, 1)
    return picture


def test_meta_strategy_shows_probability_as_opacity_and_absent_policies_grey() -> None:
    strategies = [np.array([1.0]), np.array([0.25, 0.75]), np.array([0.0, 0.0, 1.0])]
    opacity = _heat_map(heat_maps.draw_meta_strategy("m", strategies, 0))[..., 3]
    assert opacity.shape == (3, 3)
    np.testing.assert_allclose(opacity[:, 2], [0.0, 0.0, 1.0], atol=0.01)
    np.testing.assert_allclose(opacity[:2, 1], np.sqrt([0.25, 0.75]), atol=0.01)
    np.testing.assert_allclose(opacity[1:, 0], 0.125, atol=0.01)


def test_payoffs_are_orange_below_zero_and_blue_above_with_equal_strength() -> None:
    picture = _heat_map(heat_maps.draw_payoffs("p", np.array([[-2.0, 1.0], [0.0, np.nan]]), "y", "x"))
    np.testing.assert_allclose(picture[..., 3], [[1.0, 0.5], [0.0, 0.125]], atol=0.01)
    red, blue = picture[0, :, 0], picture[0, :, 2]
    assert red[0] > blue[0]
    assert red[1] < blue[1]


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), np.full((1, 3), np.nan)])
def test_payoffs_draws_zero_and_unknown_matrices(
    matrix: np.ndarray, recwarn: pytest.WarningsRecorder
) -> None:
    assert _heat_map(heat_maps.draw_payoffs("p", matrix, "y", "x")).shape[:2] == matrix.shape
    assert not recwarn.list


def test_large_heat_maps_are_small_files() -> None:
    matrix = np.random.default_rng(0).normal(size=(100, 100))
    assert len(heat_maps.draw_payoffs("p", matrix, "y", "x")) < 60_000


def test_graphs_share_one_scale_and_rows_without_opponents_are_grey() -> None:
    first = np.array([[0.0, 0.0], [1.0, 0.0]])
    *pictures, bar = _pictures(heat_maps.draw_graphs("g", [first, first / 4 + 0.25], ["a", "b"], "y", "x"))
    assert bar.shape[:2] == (128, 1)
    np.testing.assert_allclose(pictures[0][..., 3], [[0.125, 0.125], [1.0, 0.0]], atol=0.01)
    np.testing.assert_allclose(pictures[1][..., 3], np.sqrt([[0.25, 0.25], [0.5, 0.25]]), atol=0.01)


@pytest.mark.parametrize(("count", "panels_below"), [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_names_of_axes_stand_at_the_edges_only(count: int, panels_below: int) -> None:
    graph = np.eye(64)
    svg = heat_maps.draw_graphs("g", [graph] * count, [f"epoch {i}" for i in range(count)], "row", "column")
    assert len(_pictures(svg)) == count + 1
    assert svg.count(">column<") == panels_below
    assert svg.count(">row<") == -(-count // 2)
