"""Figures of a page as PNG images."""

import io

import numpy as np
import pytest
from matplotlib import pyplot

from acme_psro.display import curves, heat_maps
from acme_psro.display.png import collecting_images

LINE = curves.Line("exploitability", [0, 1, 2], [4.0, 1.0, 0.5], [0.1, 0.1, 0.1])


def pixels(image: bytes) -> np.ndarray:
    """Returns `[H, W, 3]` in 0 .. 1."""
    return pyplot.imread(io.BytesIO(image), format="png")[..., :3]


def test_figures_are_kept_by_name_only_where_they_are_asked_for() -> None:
    curves.draw_convergence("before", [LINE], "time (s)", "game units")
    with collecting_images() as images:
        page = curves.draw_convergence("over-time", [LINE], "time (s)", "game units")
        heat_maps.draw_payoffs("payoffs", np.array([[1.0, -1.0]]), "rows", "columns")
    curves.draw_convergence("after", [LINE], "time (s)", "game units")
    assert list(images) == ["over-time", "payoffs"]
    assert page == curves.draw_convergence("over-time", [LINE], "time (s)", "game units")


def test_an_image_has_the_colours_of_the_light_page() -> None:
    with collecting_images() as images:
        curves.draw_convergence("over-time", [LINE], "time (s)", "game units")
    shown = pixels(images["over-time"])
    blue, white = np.array([0x0B, 0x6C, 0xB8]) / 255, np.ones(3)
    assert shown[0, 0] == pytest.approx(white)
    assert (np.abs(shown - blue).max(axis=-1) < 0.01).sum() > 50
    # The colour that stands for the first line in the SVG, nearly black, is nowhere in the picture.
    assert (shown.max(axis=-1) < 0.05).sum() == 0
