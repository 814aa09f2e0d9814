"""Tests of acme_psro.display.svg."""

import re

import matplotlib
import numpy as np

from acme_psro.display import curves, heat_maps


def test_ids_are_unique_per_name_and_references_resolve() -> None:
    lines = [curves.Line("x", [0, 1], [1.0, 0.5])]
    first, second = (curves.draw_convergence(name, lines, "x", "y") for name in ("a", "b"))
    ids = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in (first, second)]
    assert ids[0].isdisjoint(ids[1])
    references = re.findall(r'(?:url\(|href=")#([^)"]*)', first)
    assert references
    assert set(references) <= ids[0]


def test_colours_are_variables_of_the_page_and_fonts_too() -> None:
    lines = [curves.Line(str(index), [0, 1], [1.0, 0.5]) for index in range(6)]
    svg = curves.draw_convergence("a", lines, "x", "y")
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
    assert {f"var(--series-{index})" for index in range(6)} <= set(re.findall(r"var\([^)]*\)", svg))
    assert "DejaVu" not in svg


def test_same_input_gives_the_same_bytes_and_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    draw = [heat_maps.draw_payoffs("p", np.eye(3), "y", "x") for _ in range(2)]
    assert draw[0] == draw[1]
    assert dict(matplotlib.rcParams) == before
