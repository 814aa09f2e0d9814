"""Means over seeds with confidence bands: their figures, and how they are drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from acme_psro.display import curves, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

CONFIDENCE = 0.95
# Height of a figure in units of the SVG.
HEIGHT = 270
# Relative size of rounding errors.
_ROUNDING = 1e-12
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


class Curve(NamedTuple):
    """One seed's values in the course of its run.

    Attributes:
      x: `[N]` positions, not falling; a value holds from its position to the next one.
      y: `[N]` values; nan if not known.
      has_converged: True if the last value holds for good.
    """

    x: Sequence[float]
    y: Sequence[float]
    has_converged: bool = False


class Band(NamedTuple):
    """A mean over seeds with its confidence band.

    Attributes:
      name: the quantity's name in the legend.
      x: `[N]` positions.
      mean: `[N]` means over seeds; nan if a seed's value is not known.
      low: `[N]` lower ends of the band, not below 0; nan with fewer than two seeds.
      high: `[N]` upper ends of the band; nan with fewer than two seeds.
    """

    name: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean_and_margin(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns means over seeds and half the widths of their confidence intervals, by Student's t.

    The interval holds the mean of all seeds, in 95 of 100 cases, if values are distributed normally among
    seeds. Unlike a bootstrap's, it is not too narrow with few seeds.

    Args:
      values: `[seeds, ..]`.

    Returns:
      `[..]` each; margins are nan with fewer than two seeds.
    """
    seeds = len(values)
    mean = values.mean(axis=0)
    if seeds < 2:
        return mean, np.full_like(mean, math.nan)
    # The part of SciPy that is imported in no time.
    from scipy.special import stdtrit

    quantile = float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2))
    margin = quantile * values.std(axis=0, ddof=1) / math.sqrt(seeds)
    # Equal values differ from their computed mean by rounding errors.
    return mean, np.where(margin <= _ROUNDING * np.abs(mean), 0.0, margin)


def make_band(name: str, seeds: Sequence[Curve]) -> Band:
    """Returns the mean of several seeds' curves, with its confidence band.

    It begins where the last curve has begun. It ends where the first run ends that has not converged, because
    what that run would have reached later is not known.

    Args:
      name: the quantity's name in the legend.
      seeds: one curve a seed, each with at least one point.
    """
    x = common_positions(seeds)
    mean, margin = mean_and_margin(np.stack([values_at(curve, x) for curve in seeds]))
    return Band(name, x, mean, np.maximum(mean - margin, 0.0), mean + margin)


def common_positions(seeds: Sequence[Curve]) -> np.ndarray:
    """Returns `[N]`, in ascending order: positions of any seed at which the values of all seeds are known.

    Args:
      seeds: one curve a seed, each with at least one point.
    """
    begin = max(curve.x[0] for curve in seeds)
    ends = [curve.x[-1] for curve in seeds if not curve.has_converged]
    end = min(ends) if ends else max(curve.x[-1] for curve in seeds)
    x = np.unique(np.concatenate([np.asarray(curve.x, np.float64) for curve in seeds]))
    x = x[(x >= begin) & (x <= end)]
    # Without any, a run has ended before another one has begun.
    return x if len(x) else np.array([begin], np.float64)


def draw_bands(
    name: str, bands: Sequence[Band], seeds: Sequence[Sequence[Curve]], x_label: str, y_label: str
) -> str:
    """Draws means with their bands, and each seed's own curve as a thin line.

    Args:
      name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
      bands: the means. If there are more than series of colours, several have the same one.
      seeds: the curves behind each of the bands.
      x_label: the quantity on the x axis, with its unit.
      y_label: the quantity on the y axis, with its unit.

    Returns:
      One `<svg>` element. The y axis is logarithmic if all means are above zero and their range suits it.
    """

    def draw(figure: Figure) -> None:
        add_bands(figure, bands, seeds, x_label, y_label)

    return svg.render(name, f"{y_label} over {x_label}, mean of seeds", HEIGHT, draw)


def add_bands(
    figure: Figure | SubFigure,
    bands: Sequence[Band],
    seeds: Sequence[Sequence[Curve]],
    x_label: str,
    y_label: str,
) -> None:
    """Draws in a figure, or in a part of one, what `draw_bands` draws in a figure of its own."""
    # All seeds have the same iterations; elsewhere each has its own positions, and values hold in between.
    is_joined = x_label == "iteration"
    style = "default" if is_joined else "steps-post"
    axes = curves.add_axes(figure, x_label, y_label)
    for index, (band, own) in enumerate(zip(bands, seeds, strict=True)):
        colour = svg.SERIES[index % len(svg.SERIES)]
        for curve in own:
            axes.plot(curve.x, curve.y, drawstyle=style, color=colour, linewidth=0.6, alpha=0.35)
        area = axes.fill_between(
            band.x, band.low, band.high, step=None if is_joined else "post", color=colour
        )
        area.set(alpha=0.18, linewidth=0)
        (mean,) = axes.plot(band.x, band.mean, drawstyle=style, color=colour, linewidth=1.8)
        mean.set(label=band.name, linestyle=_DASHES[index % len(_DASHES)])
        # A line needs two points.
        mean.set_marker("o" if len(band.x) == 1 else "")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, borderpad=0.2)
    means = [value for band in bands for value in band.mean.tolist()]
    if curves.suits_log_scale(means):
        curves.use_log_axis(axes, means)
        finite = [value for value in means if math.isfinite(value)]
        # Bands and single seeds may reach down to zero, which has no place on this axis.
        axes.set_ylim(min(finite) / 2, max(finite) * 2)
    else:
        highs = [value for band in bands for value in band.high.tolist()]
        curves.start_at_zero(axes, [*means, *highs])
    if is_joined:
        svg.use_whole_numbers(axes.xaxis)


def values_at(curve: Curve, x: np.ndarray) -> np.ndarray:
    """Returns `[len(x)]`: the values that hold at positions, none of them before the curve's first one."""
    places = np.searchsorted(np.asarray(curve.x, np.float64), x, side="right") - 1
    return np.asarray(curve.y, np.float64)[places]
