"""Figure of measured and simulated env steps per second by the number of actors."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acme_psro.system.files import write_atomically

_COLOURS = ("#0072b2", "#d55e00")


class Curve(NamedTuple):
    """Rates of programs with or without learning, by their number of actors.

    Attributes:
      name: name in the legend.
      measured: measured env steps per second, on this machine.
      on_machine: simulated env steps per second on this machine's cores.
      on_own_cores: simulated env steps per second on as many cores as the program can use.
      saturated_at: number of actors above which more actors have no effect; None if there is none.
      limit: name of the part that limits the rate there.
    """

    name: str
    measured: Mapping[int, float]
    on_machine: Mapping[int, float]
    on_own_cores: Mapping[int, float]
    saturated_at: int | None
    limit: str


def write_picture(path: str, title: str, curves: Sequence[Curve], cores: int) -> None:
    """Writes a PNG of the curves with logarithmic axes.

    Raises:
      OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel="actors", ylabel="env steps a second", title=title)
    for colour, curve in zip(_COLOURS, curves, strict=False):
        _plot(axes, colour, curve, cores)
    numbers = sorted({number for curve in curves for number in curve.on_own_cores})
    axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(fontsize=9, loc="upper left", handlelength=2.8)
    low, high = axes.get_ylim()
    # Leave space for the legend.
    axes.set_ylim(low / 1.5, high * (high / low) ** 0.35)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    write_atomically(path, picture.getvalue())


def _plot(axes, colour: str, curve: Curve, cores: int) -> None:  # type: ignore[no-untyped-def]
    simulated = f"{curve.name}: simulated"
    axes.plot(*_points(curve.on_own_cores), color=colour, linewidth=1.8, label=f"{simulated}, own cores")
    axes.plot(
        *_points(curve.on_machine),
        color=colour,
        linewidth=1.2,
        linestyle=(0, (3, 2)),
        label=f"{simulated}, {cores} cores",
    )
    axes.plot(
        *_points(curve.measured),
        color=colour,
        marker="o",
        markersize=6,
        linestyle="none",
        label=f"{curve.name}: measured, {cores} cores",
    )
    at = curve.saturated_at
    if at is not None:
        rate, most = curve.on_own_cores[at], max(curve.on_own_cores.values())
        axes.plot([at], [rate], color=colour, marker="s", markersize=9, markerfacecolor="white", zorder=5)
        # The text is placed below the curve, away from the legend, and towards the middle of the figure.
        is_left = 4 * at <= max(curve.on_own_cores)
        axes.annotate(
            f"{curve.limit}: {float(f'{most:.2g}'):,.0f} at most",
            (at, rate),
            xytext=(8 if is_left else -8, -17),
            ha="left" if is_left else "right",
            textcoords="offset points",
            color=colour,
            fontsize=9,
        )


def _points(rates: Mapping[int, float]) -> tuple[list[int], list[float]]:
    """Returns the coordinates of a curve's points."""
    return list(rates), list(rates.values())
