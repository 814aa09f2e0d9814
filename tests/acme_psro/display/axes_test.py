"""Tests of acme_psro.display.axes."""

import pytest

from acme_psro.display.axes import choose_unit


@pytest.mark.parametrize(
    ("axis", "largest", "divisor", "label"),
    [
        ("iteration", 5000.0, 1.0, "iteration"),
        ("episodes", 0.0, 1.0, "episodes"),
        ("episodes", 1999.0, 1.0, "episodes"),
        ("episodes", 2000.0, 1e3, "episodes (thousands)"),
        ("episodes", 2e6, 1e6, "episodes (millions)"),
        ("wall_seconds", 179.0, 1.0, "wall time (s)"),
        ("wall_seconds", 180.0, 60.0, "wall time (min)"),
        ("wall_seconds", 3 * 3600.0, 3600.0, "wall time (h)"),
    ],
)
def test_the_unit_suits_the_largest_value(axis: str, largest: float, divisor: float, label: str) -> None:
    assert choose_unit(axis, largest) == (divisor, label)
