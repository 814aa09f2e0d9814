"""Heat maps as SVG: meta-strategies over iterations, and payoff matrices.

Each heat map is a small picture with one pixel a cell. The opacity of a pixel shows the value, so that the
picture suits a light and a dark background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from acme_psro.display import svg

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

# Red, green, blue and, for unknown values, opacity. Colour-blind readers can tell blue from orange.
_POSITIVE, _NEGATIVE, _UNKNOWN = (0.165, 0.47, 0.84), (0.85, 0.37, 0.09), (0.5, 0.5, 0.5, 0.125)


def draw_meta_strategy(name: str, strategies: Sequence[np.ndarray], player: int) -> str:
    """Draws a player's meta-strategy over the iterations as a heat map.

    Args:
        name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
        strategies: entry i is the meta-strategy after iteration i, `[n_i]` probabilities over the
            population after that iteration. Populations never shrink.
        player: the player's index, for the description.

    Returns:
        One `<svg>` element; policies that do not exist yet are grey.
    """
    size = max(len(strategy) for strategy in strategies)
    # [policy, iteration], nan before a policy exists.
    table = np.full((size, len(strategies)), np.nan)
    for iteration, strategy in enumerate(strategies):
        table[: len(strategy), iteration] = strategy

    def draw(figure: Figure) -> None:
        from matplotlib.colors import PowerNorm

        top = float(np.nanmax(table)) or 1.0
        # The square root keeps the small probabilities of large populations visible.
        _draw_heat_map(figure, table, _colour_map(0.0), PowerNorm(0.5, 0.0, top), "probability")
        figure.axes[0].set(xlabel="iteration", ylabel="policy")

    return svg.render(name, f"Meta-strategy of player {player} over iterations", 290, draw)


def draw_payoffs(name: str, payoffs: np.ndarray, y_label: str, x_label: str) -> str:
    """Draws a payoff matrix as a heat map, with diverging colours centred at zero.

    Args:
        name: as in `draw_meta_strategy`.
        payoffs: `[n_0, n_1]` expected returns of player 0, in the game's units; nan if unknown.
        y_label: the meaning of the rows; row 0 is at the bottom.
        x_label: the meaning of the columns.

    Returns:
        One `<svg>` element; unknown payoffs are grey.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.colors import Normalize

        finite = np.abs(payoffs[np.isfinite(payoffs)])
        # Any positive bound suits a matrix that is unknown or zero everywhere.
        top = float(finite.max(initial=0.0)) or 1.0
        # A symmetric range makes zero transparent and equal gains and losses equally strong.
        norm = Normalize(-top, top)
        _draw_heat_map(figure, payoffs, _colour_map(-1.0), norm, "payoff (game units)")
        figure.axes[0].set(xlabel=x_label, ylabel=y_label)

    return svg.render(name, "Payoffs of player 0", 330, draw)


def _draw_heat_map(figure: Figure, table: np.ndarray, colours: Colormap, norm: Normalize, label: str) -> None:
    """Draws a heat map, with a labelled colour bar to its right.

    Args:
        figure: an empty figure; the heat map's axes become the first of its axes.
        table: `[rows, columns]` values, drawn with row 0 at the bottom; nan if unknown.
        colours: the colours of values from 0 to 1, and of nan.
        norm: the scaling of values in `table` to the range from 0 to 1.
        label: the meaning of the values, with their unit.
    """
    axes, bar = figure.subplots(1, 2, width_ratios=(24, 1))
    # Without interpolation, the file stores one pixel a cell, and the browser enlarges sharp cells.
    axes.imshow(table, cmap=colours, norm=norm, origin="lower", aspect="auto", interpolation="none")
    svg.use_whole_numbers(axes.xaxis, axes.yaxis)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    # A picture, because Matplotlib's own colour bar is one SVG path for each of its many colours.
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
    """Returns colours for values from `low` (0 or -1) to 1, more opaque the larger the absolute value is."""
    from matplotlib.colors import ListedColormap

    value = np.linspace(low, 1.0, 256)
    table = np.empty((256, 4))
    table[:, :3] = np.where(value[:, None] < 0.0, _NEGATIVE, _POSITIVE)
    table[:, 3] = np.abs(value)
    return ListedColormap(table).with_extremes(bad=_UNKNOWN)
