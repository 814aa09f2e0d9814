"""Tests of acme_psro.display.curves."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from acme_psro.display import curves


def _texts(svg: str) -> list[str]:
    """Returns the texts of a figure, which must be well-formed XML."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


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
    assert curves.suits_log_scale(values) is suits


def test_convergence_names_axes_and_lines_and_has_log_ticks() -> None:
    lines = [curves.Line("exploitability", [0, 1, 2], [1.0, 0.1, 0.01])]
    svg = curves.draw_convergence("c", lines, "wall time (s)", "game units")
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
    svg = curves.draw_convergence("c", [curves.Line("x", [0, 1, 2], values)], "x", "y")
    assert len(_texts(svg)) >= 6
    assert "nan" not in svg
    assert not recwarn.list


def test_one_iteration_has_one_whole_tick() -> None:
    svg = curves.draw_convergence("c", [curves.Line("x", [0], [2.0])], "iteration", "y")
    assert "0" in _texts(svg)
    assert not any("−" in text for text in _texts(svg))


def test_gaps_mark_the_target_and_large_gaps_leave_it_visible() -> None:
    lines = [curves.Line("player 0", [1, 2], [0.5, math.nan])]
    assert "3 %" in _texts(curves.draw_gaps("g", lines, 3.0))
    lines = [curves.Line("player 0", [1, 2, 3], [0.5, 250.0, 4.0])]
    assert {"0", "3", "10", "100"} <= set(_texts(curves.draw_gaps("g", lines, 3.0)))


# Only warnings of the drawing itself: the interpreter may collect another test's open file meanwhile.
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_errors_are_drawn_as_bars_without_warnings_if_given() -> None:
    x, y = [0, 1, 2, 3], [1.0, 0.1, math.nan, 0.01]
    plain, barred = (
        curves.draw_convergence("c", [curves.Line("x", x, y, error)], "iteration", "y")
        for error in (None, [0.1, 0.2, math.nan, 0.05])
    )
    assert barred.count("<path") + barred.count("<use") > plain.count("<path") + plain.count("<use")
    assert "nan" not in barred
    # Bars that reach below zero leave the axis logarithmic.
    assert {"0.01", "0.1", "1"} <= set(_texts(barred))


def test_counts_have_a_linear_axis_of_whole_numbers_up_to_the_largest_possible() -> None:
    lines = [curves.Line("effective size", [0, 1, 2], [1.0, 2.0, 8.0])]
    texts = _texts(curves.draw_counts("c", lines, "epoch", "members", 8.0))
    assert {"effective size", "epoch", "members", "0", "2", "4", "6", "8"} <= set(texts)
    assert not any("." in text for text in texts)
