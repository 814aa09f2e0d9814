"""Table of ways to begin best responses, and the bar that the population's must meet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.benchmarks.shared import table
from experiments.benchmarks.shared.beginnings import count_steps

# Names of the two sides that the bar compares.
FRESH_SIDE, WARM_SIDE = "fresh networks", "from the population"
_GAP = 0.03
_MOST_STEPS = 0.5
_COLUMNS = (
    "responses begin",
    f"steps to {100 * _GAP:.0f} %, median",
    "quartiles",
    "% reach it",
    "gap % after a sixth, median",
    "at the end, median",
    "mean",
)


def print_sides(sides: Mapping[str, np.ndarray], updates: int) -> None:
    """Prints a row for each side's gaps `[seeds, tasks, players, snapshots]`, and the bar."""
    rows, medians = [], {}
    for name, gaps in sides.items():
        steps = count_steps(gaps, updates, _GAP)
        low, medians[name], high = steps.quartiles
        later = 100 * np.maximum(gaps[:, 1:], 0.0)
        early, late = later[..., max(gaps.shape[-1] // 6 - 1, 0)], later[..., -1]
        cells = [f"{medians[name]:.0f}", f"{low:.0f} to {high:.0f}", f"{100 * steps.reached:.0f}"]
        shown = (np.nanmedian(early), np.nanmedian(late), np.nanmean(late))
        rows.append([name, *cells, *(f"{gap:.1f}" for gap in shown)])
    table.print_table(_COLUMNS, rows)
    ratio = medians[WARM_SIDE] / medians[FRESH_SIDE]
    what = f"median steps from the population, {ratio:.2f} of fresh networks', {_MOST_STEPS} at most"
    table.print_bar(what, bool(ratio <= _MOST_STEPS))
