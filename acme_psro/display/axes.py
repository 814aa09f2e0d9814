"""Columns of metrics as axes of figures: headings, units and labels."""

from __future__ import annotations

# A figure's heading, and its units: the least of the largest values that a unit suits, its divisor and label.
AXES = {
    "iteration": ("Over iterations", [(0.0, 1.0, "iteration")]),
    "episodes": (
        "Over episodes",
        [(2e6, 1e6, "episodes (millions)"), (2e3, 1e3, "episodes (thousands)"), (0.0, 1.0, "episodes")],
    ),
    "wall_seconds": (
        "Over wall time",
        [(10_800.0, 3600.0, "wall time (h)"), (180.0, 60.0, "wall time (min)"), (0.0, 1.0, "wall time (s)")],
    ),
}


def choose_unit(axis: str, largest: float) -> tuple[float, str]:
    """Returns the divisor and the label of a column of metrics that is an axis.

    Args:
      axis: the column, one of `AXES`.
      largest: its largest value.
    """
    _, units = AXES[axis]
    return next((divisor, label) for least, divisor, label in units if largest >= least)
