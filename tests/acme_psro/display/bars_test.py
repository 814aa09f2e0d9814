"""Tests of acme_psro.display.bars."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from acme_psro.display import bars, svg
from acme_psro.display.plain_matplotlib import plain_matplotlib

GAIN = np.array([[0.0, 1.0, 0.5, 0.001], [0.0, 2.0, 0.0, 1.0]])
GAP = np.array([[0.0, 0.25, 0.5, 0.004], [0.0, 0.0, 0.0, 1.5]])


def test_each_member_but_the_sink_has_a_bar_of_each_kind_and_the_share_that_was_missed() -> None:
    drawn = bars.draw_member_gaps("gaps", GAIN, GAP)
    ElementTree.fromstring(drawn)
    # The third member of player 0 had hardly anything to gain, and the second of player 1 nothing.
    assert re.findall(r">(\d+ %)<", drawn) == ["25 %", "100 %", "0 %", "150 %"]
    for words in (
        "player 0 (game units)",
        "player 1 (game units)",
        ">member<",
        ">to gain<",
        "missed: the gap",
    ):
        assert words in drawn


def test_bars_are_as_high_as_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    heights: list[list[float]] = []

    def render(name: str, description: str, height: int, draw: object) -> str:
        with plain_matplotlib({}):
            from matplotlib.figure import Figure

            figure = Figure()
            draw(figure)  # type: ignore[operator]
            heights.extend([[float(bar.get_height()) for bar in axes.patches] for axes in figure.axes])
        return ""

    monkeypatch.setattr(svg, "render", render)
    bars.draw_member_gaps("gaps", GAIN, GAP)
    assert heights == [[*GAIN[player, 1:], *GAP[player, 1:]] for player in range(2)]


def test_large_populations_have_no_shares_and_few_numbers() -> None:
    drawn = bars.draw_member_gaps("gaps", np.ones((2, 64)), np.full((2, 64), 0.5))
    assert " %<" not in drawn
    assert len(drawn) < 120_000


def test_nothing_to_gain_is_drawn_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert "<svg" in bars.draw_member_gaps("gaps", np.zeros((2, 3)), np.zeros((2, 3)))
    assert not recwarn.list
