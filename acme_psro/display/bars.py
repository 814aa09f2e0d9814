"""Bars as SVG: what there was to gain and what was missed, for each member of two populations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acme_psro.display import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _NARROW = 0.8, 0.4
# Populations with more members have no room for a number above each bar.
_MOST_LABELS = 10
# Bars lower than this share of the highest one have none either.
_LEAST = 0.02


def draw_member_gaps(name: str, gain: np.ndarray, gap: np.ndarray) -> str:
    """Draws two bars a member, one in front of the other, with a part of the figure for each player.

    Args:
      name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
      gain: `[P, N]`, what exact best responses gain, in the game's units. Member 0, the sink, is left out.
      gap: `[P, N]`, how much less members earn than exact best responses.

    Returns:
      One `<svg>` element. In small populations the share that was missed stands above the bars.
    """
    players, num = gain.shape
    members = np.arange(1, num)

    def draw(figure: Figure) -> None:
        parts = figure.subplots(players, 1, sharex=True, squeeze=False)[:, 0]
        for player, axes in enumerate(parts):
            _draw_part(axes, members, gain[player, 1:], gap[player, 1:])
            axes.set_ylabel(f"player {player} (game units)")
        parts[0].legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            borderaxespad=0.2,
            borderpad=0.2,
            handlelength=1.2,
        )
        parts[-1].set_xlabel("member")
        svg.use_whole_numbers(parts[-1].xaxis, most=10)

    return svg.render(name, "Gap of each member and what there was to gain", 60 + 150 * players, draw)


def _draw_part(axes: Axes, members: np.ndarray, gain: np.ndarray, gap: np.ndarray) -> None:
    """Draws the bars of one player's members."""
    axes.bar(members, gain, _WIDE, color=svg.RULE, linewidth=0, label="to gain")
    axes.bar(members, gap, _NARROW, color=svg.SERIES[1], linewidth=0, label="missed: the gap")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    # Bars of no height would leave the axis without a length.
    top = float(max(gain.max(initial=0.0), gap.max(initial=0.0))) or 1.0
    axes.set_ylim(0.0, 1.2 * top)
    if len(members) > _MOST_LABELS:
        return
    for member, possible, missed in zip(members, gain, gap, strict=True):
        # Shares of what is hardly anything would be large and mean nothing.
        if possible > _LEAST * top:
            axes.annotate(
                f"{100 * missed / possible:.0f} %",
                (member, max(possible, missed)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize="small",
            )
