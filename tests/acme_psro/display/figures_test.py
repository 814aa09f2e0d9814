"""Tests of acme_psro.display.figures."""

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest

from acme_psro.display import figures


def _texts(svg: str) -> list[str]:
    """Returns the texts of a figure, which must be well-formed XML."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def _pictures(svg: str) -> list[np.ndarray]:
    """Returns the pictures in a figure as `[rows, columns, 4]`, the lowest row first."""
    encoded = re.findall(r"data:image/png;base64,([^\"]*)", svg)
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png") for data in encoded]


def _heat_map(svg: str) -> np.ndarray:
    """Returns a heat map's picture, upright, row 0 first, and checks that a colour bar is there."""
    picture, bar = _pictures(svg)
    assert bar.shape[:2] == (128, 1)
    return picture


@pytest.mark.parametrize(
    ("values", "suits"),
    [
        ([1.0, 0.1], True),
        ([math.nan, 1.0, 0.1], True),
        ([1.0, 0.5], False),
        ([1.0, 0.1, 0.0], False),
        ([1.0, -1e-9], False),
        ([math.nan], False),
        ([], False),
    ],
)
def test_suits_log_scale(values: list[float], suits: bool) -> None:
    assert figures.suits_log_scale(values) is suits


def test_convergence_names_axes_and_lines_and_has_log_ticks() -> None:
    lines = [figures.Line("exploitability", [0, 1, 2], [1.0, 0.1, 0.01])]
    svg = figures.draw_convergence("c", lines, "wall time (s)", "game units")
    texts = _texts(svg)
    assert {"exploitability", "wall time (s)", "game units", "0.01", "0.1", "1"} <= set(texts)


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.0, 0.0],
        [1.0, 0.5, 0.0],
        [1.0, -1e-17, 1e-17],
        [2.0, math.nan, 1.9],
        [1.0, 1e-9, 1e-16],
        [1e5, 1e5, 1e5],
    ],
)
def test_convergence_draws_any_values(values: list[float], recwarn: pytest.WarningsRecorder) -> None:
    svg = figures.draw_convergence("c", [figures.Line("x", [0, 1, 2], values)], "x", "y")
    assert len(_texts(svg)) >= 6
    assert "nan" not in svg
    assert not recwarn.list


def test_one_iteration_has_one_whole_tick() -> None:
    svg = figures.draw_convergence("c", [figures.Line("x", [0], [2.0])], "iteration", "y")
    assert "0" in _texts(svg)
    assert not any("−" in text for text in _texts(svg))


def test_gaps_mark_the_target_and_large_gaps_leave_it_visible() -> None:
    lines = [figures.Line("player 0", [1, 2], [0.5, math.nan])]
    assert "3 %" in _texts(figures.draw_gaps("g", lines, 3.0))
    lines = [figures.Line("player 0", [1, 2, 3], [0.5, 250.0, 4.0])]
    assert {"0", "3", "10", "100"} <= set(_texts(figures.draw_gaps("g", lines, 3.0)))


def test_meta_strategy_shows_probability_as_opacity_and_absent_policies_grey() -> None:
    strategies = [np.array([1.0]), np.array([0.25, 0.75]), np.array([0.0, 0.0, 1.0])]
    opacity = _heat_map(figures.draw_meta_strategy("m", strategies, 0))[..., 3]
    assert opacity.shape == (3, 3)
    np.testing.assert_allclose(opacity[:, 2], [0.0, 0.0, 1.0], atol=0.01)
    np.testing.assert_allclose(opacity[:2, 1], np.sqrt([0.25, 0.75]), atol=0.01)
    np.testing.assert_allclose(opacity[1:, 0], 0.125, atol=0.01)


def test_payoffs_are_orange_below_zero_and_blue_above_with_equal_strength() -> None:
    picture = _heat_map(figures.draw_payoffs("p", np.array([[-2.0, 1.0], [0.0, np.nan]]), "y", "x"))
    np.testing.assert_allclose(picture[..., 3], [[1.0, 0.5], [0.0, 0.125]], atol=0.01)
    red, blue = picture[0, :, 0], picture[0, :, 2]
    assert red[0] > blue[0]
    assert red[1] < blue[1]


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), np.full((1, 3), np.nan)])
def test_payoffs_draws_zero_and_unknown_matrices(
    matrix: np.ndarray, recwarn: pytest.WarningsRecorder
) -> None:
    assert _heat_map(figures.draw_payoffs("p", matrix, "y", "x")).shape[:2] == matrix.shape
    assert not recwarn.list


def test_large_heat_maps_are_small_files() -> None:
    matrix = np.random.default_rng(0).normal(size=(100, 100))
    assert len(figures.draw_payoffs("p", matrix, "y", "x")) < 60_000


def test_ids_are_unique_per_name_and_references_resolve() -> None:
    lines = [figures.Line("x", [0, 1], [1.0, 0.5])]
    first, second = (figures.draw_convergence(name, lines, "x", "y") for name in ("a", "b"))
    ids = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in (first, second)]
    assert ids[0].isdisjoint(ids[1])
    references = re.findall(r'(?:url\(|href=")#([^)"]*)', first)
    assert references
    assert set(references) <= ids[0]


def test_colours_are_variables_of_the_page_and_fonts_too() -> None:
    lines = [figures.Line(str(index), [0, 1], [1.0, 0.5]) for index in range(6)]
    svg = figures.draw_convergence("a", lines, "x", "y")
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
    assert {f"var(--series-{index})" for index in range(6)} <= set(re.findall(r"var\([^)]*\)", svg))
    assert "DejaVu" not in svg


def test_same_input_gives_the_same_bytes_and_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    draw = [figures.draw_payoffs("p", np.eye(3), "y", "x") for _ in range(2)]
    assert draw[0] == draw[1]
    assert dict(matplotlib.rcParams) == before


def test_errors_are_bars_where_they_are_given(recwarn: pytest.WarningsRecorder) -> None:
    x, y = [0, 1, 2, 3], [1.0, 0.1, math.nan, 0.01]
    plain, barred = (
        figures.draw_convergence("c", [figures.Line("x", x, y, error)], "iteration", "y")
        for error in (None, [0.1, 0.2, math.nan, 0.05])
    )
    assert barred.count("<path") + barred.count("<use") > plain.count("<path") + plain.count("<use")
    assert "nan" not in barred
    # Bars that reach below zero leave the axis logarithmic.
    assert {"0.01", "0.1", "1"} <= set(_texts(barred))
    assert not recwarn.list
