"""Figures of a run, each as one SVG element to stand inside an HTML page.

Colours are written as CSS variables, which the page defines for light and for dark; heat maps are
small pictures whose transparency carries the value, so that they suit either background.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

# Matplotlib knows no CSS variables: it draws in these colours, which no palette holds, and
# `_to_svg` puts the variables in their place.
_INK, _MUTED, _RULE = "#010101", "#020202", "#030303"
_SERIES = ("#0a0000", "#0b0000", "#0c0000", "#0d0000", "#0e0000", "#0f0000")
_VARIABLES = {_INK: "var(--ink)", _MUTED: "var(--muted)", _RULE: "var(--rule)"} | {
    colour: f"var(--series-{index})" for index, colour in enumerate(_SERIES)
}
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_MARKERS = "osD^v*"

# The figures are 420 units wide with letters of 12, so that a phone shows them legibly.
_WIDTH = 420
_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "acme_psro",
    "svg.image_inline": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 12,
    "axes.labelsize": 12,
    "legend.fontsize": 12,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _RULE,
    "axes.unicode_minus": True,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "grid.color": _RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
# Blue and orange, which the colour-blind tell apart; in red, green, blue (and opacity).
_POSITIVE, _NEGATIVE, _ABSENT = (0.165, 0.47, 0.84), (0.85, 0.37, 0.09), (0.5, 0.5, 0.5, 0.125)

# From this ratio of the largest to the smallest value on, a logarithmic axis shows more.
_LOG_RATIO = 4.0
# Under this percentage the axis of the best-response gaps is linear, above it logarithmic.
_LINEAR_GAP = 3.0


class Line(NamedTuple):
    """One curve: a name for the legend, `y` [N] over `x` [N]; not finite values leave a hole.

    Where `error` [N] is given, bars reach so far up and down from `y`.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None


def suits_log_scale(values: Sequence[float]) -> bool:
    """Returns whether all finite values are above zero and span enough for a logarithmic axis."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0.0 and max(finite) >= _LOG_RATIO * min(finite)


def draw_convergence(name: str, lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Draws curves that should fall to zero, on a logarithmic axis where `suits_log_scale`.

    Args:
        name: makes the ids inside the SVG unique in the page; letters, digits and hyphens.
        lines: the curves, the most important one first.
        x_label: what is on the x axis, with its unit.
        y_label: what is on the y axis, with its unit.

    Returns:
        One `<svg>` element.
    """

    def draw(figure: Figure) -> None:
        axes = _plot_axes(figure, x_label, y_label)
        _draw_lines(axes, lines)
        values = [value for line in lines for value in line.y]
        if suits_log_scale(values):
            _use_log_axis(axes, values)
        else:
            errors = [error for line in lines for error in line.error or [0.0] * len(line.y)]
            _start_at_zero(axes, [*values, *np.add(values, errors).tolist()])
        _use_whole_numbers(axes, x=x_label == "iteration")

    return _draw(name, f"{y_label} over {x_label}", 270, draw)


def draw_gaps(name: str, lines: Sequence[Line], target: float) -> str:
    """Draws relative best-response gaps over iterations, with a line at the target.

    Args:
        name: as in `draw_convergence`.
        lines: the points of each player; `x` is the iteration, `y` the gap in percent.
        target: the percentage to mark.

    Returns:
        One `<svg>` element. Above 10 targets the axis is linear up to 3 % and logarithmic beyond.
    """
    y_label = "best-response gap (%)"

    def draw(figure: Figure) -> None:
        axes = _plot_axes(figure, "iteration", y_label)
        axes.axhline(target, color=_INK, linewidth=1.0, linestyle=(0, (2, 2)))
        # Each point is a training run of its own, so no line joins them.
        _draw_lines(axes, lines, joined=False)
        values = [value for line in lines for value in line.y if math.isfinite(value)]
        if max(values, default=0.0) > 10 * target:
            axes.set_yscale("symlog", linthresh=_LINEAR_GAP)
            _label_ticks(axes, [0, 1, 3, 10, 30, 100, 300, 1000], values)
        else:
            _start_at_zero(axes, [*values, 1.3 * target])
        axes.annotate(
            f"{target:g} %",
            (1, target),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
        )
        _use_whole_numbers(axes, x=True)

    return _draw(name, f"{y_label} over iteration", 270, draw)


def draw_meta_strategy(name: str, strategies: Sequence[np.ndarray], player: int) -> str:
    """Draws a player's meta-strategy over the iterations as a heat map.

    Args:
        name: as in `draw_convergence`.
        strategies: entry i is the meta-strategy after iteration i: `[n_i]` probabilities over the
            population of that time. Populations only grow.
        player: the player, for the description.

    Returns:
        One `<svg>` element; policies that do not exist yet are grey.
    """
    size = max(len(strategy) for strategy in strategies)
    table = np.full((size, len(strategies)), np.nan)
    for iteration, strategy in enumerate(strategies):
        table[: len(strategy), iteration] = strategy

    def draw(figure: Figure) -> None:
        from matplotlib.colors import PowerNorm

        top = float(np.nanmax(table)) or 1.0
        # The square root keeps the small probabilities of large populations visible.
        _draw_heat_map(figure, table, _colour_map(0.0), PowerNorm(0.5, 0.0, top), "probability")
        figure.axes[0].set(xlabel="iteration", ylabel="policy")

    return _draw(name, f"Meta-strategy of player {player} over iterations", 290, draw)


def draw_payoffs(name: str, payoffs: np.ndarray, y_label: str, x_label: str) -> str:
    """Draws a payoff matrix as a heat map, with diverging colours centred at zero.

    Args:
        name: as in `draw_convergence`.
        payoffs: `[n_0, n_1]` expected returns of player 0, in the game's units; nan where unknown.
        y_label: what the rows are; row 0 is at the bottom.
        x_label: what the columns are.

    Returns:
        One `<svg>` element; unknown payoffs are grey.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.colors import Normalize

        finite = np.abs(payoffs[np.isfinite(payoffs)])
        top = float(finite.max(initial=0.0)) or 1.0
        norm = Normalize(-top, top)
        _draw_heat_map(figure, payoffs, _colour_map(-1.0), norm, "payoff (game units)")
        figure.axes[0].set(xlabel=x_label, ylabel=y_label)

    return _draw(name, "Payoffs of player 0", 330, draw)


def _draw(name: str, description: str, height: int, draw: Callable[[Figure], None]) -> str:
    """Calls `draw` with a new figure in the page's style and returns the figure as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        # One inch is 72 units of an SVG that matplotlib writes.
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        draw(figure)
        return _to_svg(figure, name, description)


def _to_svg(figure: Figure, name: str, description: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several figures share one page, and so one space of ids and styles.
    svg = re.sub(r"<style\b.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    # The page sets the size; the view box keeps the proportions.
    box = re.search(r'viewBox="[^"]*"', svg)
    view_box = box.group() if box else ""
    return f'<svg {view_box} role="img" aria-label="{description}">{svg[svg.index(">") + 1 :].strip()}'


def _plot_axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    return axes


def _draw_lines(axes: Axes, lines: Sequence[Line], joined: bool = True) -> None:
    for index, line in enumerate(lines):
        marked = not joined or len(line.x) <= 40
        axes.plot(
            line.x,
            line.y,
            color=_SERIES[index % len(_SERIES)],
            linestyle=_DASHES[index % len(_DASHES)] if joined else "none",
            linewidth=1.8,
            marker=_MARKERS[index % len(_MARKERS)] if marked else None,
            markersize=3.5 if joined else 4.5,
            markeredgewidth=0,
            label=line.name,
        )
        if line.error is not None:
            colour = _SERIES[index % len(_SERIES)]
            axes.errorbar(line.x, line.y, line.error, fmt="none", ecolor=colour, elinewidth=1.0, capsize=2.0)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        borderaxespad=0.2,
        borderpad=0.2,
        handlelength=2.4,
        columnspacing=1.4,
    )


def _use_log_axis(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    finite = [value for value in values if math.isfinite(value)]
    few_decades = max(finite) < 1e3 * min(finite)
    axes.set_yscale("log")
    subdivisions = (1.0, 2.0, 5.0) if few_decades else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subdivisions, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _start_at_zero(axes: Axes, values: Sequence[float]) -> None:
    """Starts a linear y axis at zero, or at the lowest value where one is below zero."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin if low < 0.0 else 0.0, high + margin)


def _label_ticks(axes: Axes, ticks: Sequence[float], values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    top = 1.2 * max(values)
    axes.set_ylim(min([0.0, *values]), top)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick <= top]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _use_whole_numbers(axes: Axes, x: bool = False, y: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator

    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            axis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def _draw_heat_map(figure: Figure, table: np.ndarray, colours: Colormap, norm: Normalize, label: str) -> None:
    """Draws `table` [rows, columns], row 0 at the bottom, with a colour bar to its right."""
    axes, bar = figure.subplots(1, 2, width_ratios=(24, 1))
    # "none" stores one pixel a cell, which the browser enlarges without smoothing.
    axes.imshow(table, cmap=colours, norm=norm, origin="lower", aspect="auto", interpolation="none")
    _use_whole_numbers(axes, x=True, y=True)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    bar.imshow(
        np.linspace(low, high, 128)[:, None],
        cmap=colours,
        norm=norm,
        origin="lower",
        aspect="auto",
        interpolation="none",
        extent=(0.0, 1.0, low, high),
    )
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    bar.set_ylabel(label)
    for part in (axes, bar):
        part.tick_params(length=0)


def _colour_map(low: float) -> Colormap:
    """Returns colours for values from `low` (0 or -1) to 1: the larger, the more opaque."""
    from matplotlib.colors import ListedColormap

    value = np.linspace(low, 1.0, 256)
    table = np.empty((256, 4))
    table[:, :3] = np.where(value[:, None] < 0.0, _NEGATIVE, _POSITIVE)
    table[:, 3] = np.abs(value)
    return ListedColormap(table).with_extremes(bad=_ABSENT)
