"""Env steps a second by the number of actors, measured and simulated, as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acme_psro.system.files import write_atomically

_COLOURS = ("#0072b2", "#d55e00")


class Curve(NamedTuple):
    """A kind of program.

    Attributes:
      name: for the legend.
      measured: env steps a second by the number of actors, on this machine.
      on_machine: simulated, with this machine's cores.
      on_own_cores: simulated, with as many cores as are used.
      saturated_at: actors from which on more are of no use; None where all were.
      limit: what sets the limit there.
    """

    name: str
    measured: Mapping[int, float]
    on_machine: Mapping[int, float]
    on_own_cores: Mapping[int, float]
    saturated_at: int | None
    limit: str


def write_picture(path: str, title: str, curves: Sequence[Curve], cores: int) -> None:
    """Writes a PNG, both axes logarithmic.

    Raises:
      OSError: it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlabel="actors", ylabel="env steps a second", title=title)
    for colour, curve in zip(_COLOURS, curves, strict=False):
        _plot(axes, colour, curve, cores)
    everyone = sorted({number for curve in curves for number in curve.on_own_cores})
    axes.xaxis.set_major_locator(FixedLocator(everyone))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(fontsize=9, loc="upper left", handlelength=2.8)
    low, high = axes.get_ylim()
    # Room for the legend.
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
        # Below the curve, where no legend is, and towards the middle.
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
    return list(rates), list(rates.values())
