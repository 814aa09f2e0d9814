"""Heat maps as SVG: meta-strategies over iterations, payoff matrices and interaction graphs.

Each heat map is a small picture with one pixel a cell. The opacity of a pixel shows the value, so that the
picture suits a light and a dark background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from acme_psro.display import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

# Red, green, blue and, for unknown values, opacity. Colour-blind readers can tell blue from orange.
_POSITIVE, _NEGATIVE, _UNKNOWN = (0.165, 0.47, 0.84), (0.85, 0.37, 0.09), (0.5, 0.5, 0.5, 0.125)
# Numbers on an axis of a panel that has half of a figure's width.
_MOST_TICKS = 5


def draw_meta_strategy(
    name: str,
    strategies: Sequence[np.ndarray],
    player: int,
    x_label: str = "iteration",
    y_label: str = "policy",
) -> str:
    """Draws a player's meta-strategy over the iterations as a heat map.

    Args:
      name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
      strategies: entry i is the meta-strategy after iteration i, `[n_i]` probabilities over the
        population after that iteration. Populations never shrink.
      player: the player's index, for the description.
      x_label: the meaning of the columns.
      y_label: the meaning of the rows.

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
        figure.axes[0].set(xlabel=x_label, ylabel=y_label)

    return svg.render(name, f"Meta-strategy of player {player} over {x_label}s", 290, draw)


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


def draw_graphs(
    name: str, graphs: Sequence[np.ndarray], titles: Sequence[str], y_label: str, x_label: str
) -> str:
    """Draws some interaction graphs of the same members side by side, two in a row.

    Args:
      name: as in `draw_meta_strategy`.
      graphs: each `[N, N]`: the probabilities by which rows draw columns. Rows without any are grey.
      titles: one for each graph.
      y_label: the meaning of the rows; row 0 is at the bottom.
      x_label: the meaning of the columns.

    Returns:
      One `<svg>` element.
    """
    columns = min(2, len(graphs))
    rows = -(-len(graphs) // columns)

    def draw(figure: Figure) -> None:
        from matplotlib.colors import PowerNorm

        # As in meta-strategies, the square root keeps small probabilities visible.
        colours, norm = _colour_map(0.0), PowerNorm(0.5, 0.0, 1.0)
        grid = figure.add_gridspec(rows, columns + 1, width_ratios=(*[12] * columns, 1))
        for index, (graph, title) in enumerate(zip(graphs, titles, strict=True)):
            axes = figure.add_subplot(grid[divmod(index, columns)])
            table = np.where(graph.sum(axis=1, keepdims=True) > 0, graph, np.nan)
            axes.imshow(table, cmap=colours, norm=norm, origin="lower", aspect="auto", interpolation="none")
            axes.set_title(title, fontsize="medium")
            svg.use_whole_numbers(axes.xaxis, axes.yaxis, most=_MOST_TICKS)
            axes.tick_params(length=0)
            # The panels have the same axes, so that their names stand once, at the edges.
            if index % columns == 0:
                axes.set_ylabel(y_label)
            if index + columns >= len(graphs):
                axes.set_xlabel(x_label)
        _draw_bar(figure.add_subplot(grid[:, -1]), colours, norm, "probability")

    return svg.render(name, f"Interaction graph: {y_label} against {x_label}", 60 + 180 * rows, draw)


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
    axes.tick_params(length=0)
    _draw_bar(bar, colours, norm, label)


def _draw_bar(bar: Axes, colours: Colormap, norm: Normalize, label: str) -> None:
    """Draws a colour bar with its label in axes of its own."""
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
    bar.tick_params(length=0)


def _colour_map(low: float) -> Colormap:
    """Returns colours for values from `low` (0 or -1) to 1, more opaque the larger the absolute value is."""
    from matplotlib.colors import ListedColormap

    value = np.linspace(low, 1.0, 256)
    table = np.empty((256, 4))
    table[:, :3] = np.where(value[:, None] < 0.0, _NEGATIVE, _POSITIVE)
    table[:, 3] = np.abs(value)
    return ListedColormap(table).with_extremes(bad=_UNKNOWN)
