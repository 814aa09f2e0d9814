"""Exploitability curves over training episodes and seconds, and a figure of several curves."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acme_psro.system.files import write_atomically

# An equilibrium up to rounding would take most of a logarithmic axis.
_LEAST = 1e-5
_COLOURS = ("#0072b2", "#56b4e9", "#d55e00", "#009e73")


class Point(NamedTuple):
    """One mixture on a side's curve.

    Attributes:
      seconds: time since the start of the process, or for psro_v2 since the start of its import; evaluation
        is not counted.
      episodes: the number of episodes played in training so far.
      exploitability: the mixture's exploitability, in utility units.
    """

    seconds: float
    episodes: int
    exploitability: float


def first_reached(points: Sequence[Point], target: float) -> Point | None:
    """Returns the first mixture with an exploitability of at most `target`, or None if there is none."""
    return next((point for point in points if point.exploitability <= target), None)


def latest(points: Sequence[Point], most_seconds: float, most_episodes: float = math.inf) -> Point | None:
    """Returns the last mixture within the given seconds and episodes, or None if there is none."""
    fit = [p for p in points if p.seconds <= most_seconds and p.episodes <= most_episodes]
    return fit[-1] if fit else None


def write_figure(path: str, title: str, sides: Mapping[str, Sequence[Sequence[Point]]]) -> None:
    """Writes a PNG of exploitability against episodes and against seconds, with logarithmic axes.

    Exploitability below 0.00001 is shown as 0.00001.

    Args:
      path: path of the PNG file.
      title: title of the figure.
      sides: the runs of each side, by the side's name. The mixtures of a run are in the order of time.

    Raises:
      OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, quantity in zip(panels, ("episodes", "seconds"), strict=True):
        for colour, (name, runs) in zip(_COLOURS, sides.items(), strict=False):
            for number, points in enumerate(runs):
                # A logarithmic axis cannot show zero, the start of training.
                shown = [p for p in points if getattr(p, quantity) > 0]
                axes.plot(
                    [getattr(point, quantity) for point in shown],
                    [max(point.exploitability, _LEAST) for point in shown],
                    color=colour,
                    marker="." if len(shown) < 30 else None,
                    linewidth=1.4,
                    label=name if number == 0 else None,
                )
        axes.set(xscale="log", yscale="log", xlabel=f"{quantity}, training")
        axes.grid(True, which="both", linewidth=0.3)
    panels[0].set_ylabel("exploitability")
    panels[1].set_xlabel("seconds, from the process's start")
    panels[0].legend()
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomically(path, buffer.getvalue())
