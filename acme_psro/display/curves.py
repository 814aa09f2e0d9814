"""Curves over time or iterations as SVG: exploitability and best-response gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from acme_psro.display import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_HEIGHT = 270
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_MARKERS = "osD^v*"
# Curves with more points are drawn without markers, which would hide the line.
_MOST_MARKERS = 40
# Quantities on an x axis that are whole numbers.
_COUNTED = ("iteration", "epoch")
# Letters in a row of a legend with three columns.
_LONGEST_LEGEND = 30

# An axis is logarithmic if the largest value is at least this multiple of the smallest one.
_LOG_RATIO = 4.0
# Up to this percentage, the axis of large best-response gaps is linear. Beyond it, it is logarithmic.
_LINEAR_GAP = 3.0


class Line(NamedTuple):
    """Points of one curve, and its name in the legend.

    Attributes:
      name: the curve's name.
      x: `[N]` positions on the x axis.
      y: `[N]` values. Those that are not finite leave a hole in the curve.
      error: `[N]` lengths of the error bars above and below `y`, or None for no bars.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None


def suits_log_scale(values: Sequence[float]) -> bool:
    """Returns True if all finite values are above zero and their range suits a logarithmic axis."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0.0 and max(finite) >= _LOG_RATIO * min(finite)


def draw_convergence(name: str, lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Draws curves that should fall to zero, on a logarithmic axis if `suits_log_scale` is True.

    Args:
      name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
      lines: the curves, the most important one first.
      x_label: the quantity on the x axis, with its unit.
      y_label: the quantity on the y axis, with its unit.

    Returns:
      One `<svg>` element.
    """

    def draw(figure: Figure) -> None:
        axes = add_axes(figure, x_label, y_label)
        _draw_lines(axes, lines)
        values = [value for line in lines for value in line.y]
        if suits_log_scale(values):
            use_log_axis(axes, values)
        else:
            # Leave room for the upper ends of the error bars.
            errors = [error for line in lines for error in line.error or [0.0] * len(line.y)]
            start_at_zero(axes, [*values, *np.add(values, errors).tolist()])
        if x_label in _COUNTED:
            svg.use_whole_numbers(axes.xaxis)

    return svg.render(name, f"{y_label} over {x_label}", _HEIGHT, draw)


def draw_counts(name: str, lines: Sequence[Line], x_label: str, y_label: str, top: float) -> str:
    """Draws numbers of things on a linear axis from 0.

    Args:
      name: as in `draw_convergence`.
      lines: the curves.
      x_label: the quantity on the x axis.
      y_label: the things that are counted.
      top: the largest number that is possible.

    Returns:
      One `<svg>` element.
    """

    def draw(figure: Figure) -> None:
        axes = add_axes(figure, x_label, y_label)
        _draw_lines(axes, lines)
        start_at_zero(axes, [top])
        svg.use_whole_numbers(axes.xaxis, axes.yaxis)

    return svg.render(name, f"{y_label} over {x_label}", _HEIGHT, draw)


def draw_gaps(
    name: str, lines: Sequence[Line], target: float, x_label: str = "iteration", joined: bool = False
) -> str:
    """Draws relative best-response gaps over iterations, with a horizontal line at the target.

    Args:
      name: as in `draw_convergence`.
      lines: the points of each player; `x` is the iteration, `y` the gap in percent.
      target: the target of the gaps, in percent.
      x_label: the quantity on the x axis.
      joined: True to join a player's points by a line, if all are of one network. By default each point is
        the result of a separate training run, so no line joins them.

    Returns:
      One `<svg>` element. If a gap exceeds 10 times the target, the axis is linear up to 3 % and
      logarithmic beyond, so that the target stays visible.
    """
    y_label = "best-response gap (%)"

    def draw(figure: Figure) -> None:
        axes = add_axes(figure, x_label, y_label)
        axes.axhline(target, color=svg.INK, linewidth=1.0, linestyle=(0, (2, 2)))
        _draw_lines(axes, lines, joined)
        values = [value for line in lines for value in line.y if math.isfinite(value)]
        if max(values, default=0.0) > 10 * target:
            # A symmetric logarithm, because a gap of zero has no logarithm.
            axes.set_yscale("symlog", linthresh=_LINEAR_GAP)
            _label_ticks(axes, [0, 1, 3, 10, 30, 100, 300, 1000], values)
        else:
            start_at_zero(axes, [*values, 1.3 * target])
        axes.annotate(
            f"{target:g} %",
            (1, target),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
        )
        svg.use_whole_numbers(axes.xaxis)

    return svg.render(name, f"{y_label} over {x_label}", _HEIGHT, draw)


def add_axes(figure: Figure | SubFigure, x_label: str, y_label: str) -> Axes:
    """Adds axes with horizontal grid lines and no frame except for the x axis."""
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    return axes


def _draw_lines(axes: Axes, lines: Sequence[Line], joined: bool = True) -> None:
    """Draws each line in its own colour, marker and dashes, with a legend above the axes."""
    for index, line in enumerate(lines):
        colour = svg.SERIES[index % len(svg.SERIES)]
        marked = not joined or len(line.x) <= _MOST_MARKERS
        # Dashes and markers tell the curves apart without colour, too.
        axes.plot(
            line.x,
            line.y,
            color=colour,
            linestyle=_DASHES[index % len(_DASHES)] if joined else "none",
            linewidth=1.8,
            marker=_MARKERS[index % len(_MARKERS)] if marked else None,
            markersize=3.5 if joined else 4.5,
            markeredgewidth=0,
            label=line.name,
        )
        if line.error is not None:
            axes.errorbar(line.x, line.y, line.error, fmt="none", ecolor=colour, elinewidth=1.0, capsize=2.0)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        # A legend that is wider than the figure would leave the axes no room.
        ncols=3 if sum(len(line.name) for line in lines[:3]) <= _LONGEST_LEGEND else 2,
        borderaxespad=0.2,
        borderpad=0.2,
        handlelength=2.4,
        columnspacing=1.4,
    )


def use_log_axis(axes: Axes, values: Sequence[float]) -> None:
    """Makes the y axis logarithmic and labels it in plain decimal numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = [value for value in values if math.isfinite(value)]
    # Powers of ten alone would give an axis of few decades only one or two labels.
    few_decades = max(finite) < 1e3 * min(finite)
    axes.set_yscale("log")
    subdivisions = (1.0, 2.0, 5.0) if few_decades else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subdivisions, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def start_at_zero(axes: Axes, values: Sequence[float]) -> None:
    """Starts a linear y axis at zero, or below the lowest value if that is negative."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    # If all values are zero, a margin of zero would leave the axis without a length.
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin if low < 0.0 else 0.0, high + margin)


def _label_ticks(axes: Axes, ticks: Sequence[float], values: Sequence[float]) -> None:
    """Ends the y axis a little above the largest value and labels it only at `ticks`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    top = 1.2 * max(values)
    axes.set_ylim(min([0.0, *values]), top)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick <= top]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
