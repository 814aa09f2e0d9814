"""Response graphs as SVG: profiles on a circle, or on a grid for two players, and arrows for best replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acme_psro.display import page, svg
from acme_psro.evaluation import response_graph
from acme_psro.evaluation.response_graph import ResponseGraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# With more profiles the arrows can no longer be told apart.
MOST_PROFILES = 30
# Float32 payoffs miss zero-sum by about this much.
_ROUNDING = 1e-6
_HEIGHT = 400
# Arrows bend, so that those there and back are two.
_BEND = "arc3,rad=0.18"
# The diameter of a node, in points, and the number of nodes from which arrows are thin.
_NODE = 25.0
_CROWDED = 12


def make_response_graphs(payoffs: np.ndarray) -> list[str]:
    """Returns the figure of a meta-game's response graph as HTML, if there is one that can be read.

    There is none if the graph has too many nodes or only one, if a payoff is unknown, or in two-player
    zero-sum games, whose payoffs say more.

    Args:
      payoffs: `[P, n_0, .., n_{P-1}]` payoff tensor in the game's units; nan if unknown.
    """
    if not np.isfinite(payoffs).all() or payoffs[0].size < 2 or _is_two_player_zero_sum(payoffs):
        return []
    if payoffs[0].size <= MOST_PROFILES:
        graph = response_graph.of_profiles(payoffs)
    elif response_graph.is_symmetric(payoffs) and len(payoffs[0]) <= MOST_PROFILES:
        graph = response_graph.of_policies(payoffs)
    else:
        return []
    is_of_profiles = graph.nodes.shape[1] > 1
    nodes = "profile" if is_of_profiles else "policy"
    arrows = (
        "Arrows: each player’s best reply to the others’ policies"
        if is_of_profiles
        else "Arrows: from each policy to those that earn more when the two meet"
    )
    sinks = graph.sinks
    sizes = ", ".join(f"{len(sink)} ({100 * graph.shares[sink].sum():.0f}&nbsp;%)" for sink in sinks[:3])
    number = "is 1" if len(sinks) == 1 else f"are {len(sinks)}"
    caption = (
        f"{arrows}. Framed: sink components, which no better reply leaves. There {number}; nodes and share "
        f"in alpha-Rank of the largest: {sizes}. The darker a {nodes}, the larger its share."
    )
    return [page.make_figure("Response graph", draw("response-graph", graph), caption)]


def _is_two_player_zero_sum(payoffs: np.ndarray) -> bool:
    excess = float(np.abs(payoffs.sum(axis=0)).max())
    return len(payoffs) == 2 and excess <= _ROUNDING * max(1.0, float(np.abs(payoffs).max()))


def draw(name: str, graph: ResponseGraph) -> str:
    """Draws a response graph.

    Args:
      name: a prefix for the ids inside the SVG, unique in the page; letters, digits and hyphens.
      graph: with at most some 30 nodes, so that it can be read.

    Returns:
      One `<svg>` element.
    """

    def draw_in(figure: Figure) -> None:
        axes = figure.add_subplot()
        _draw_arrows(axes, graph)
        _draw_nodes(axes, graph)
        _draw_legend(figure, axes, graph)
        axes.set_axis_off()
        axes.set_aspect("equal")

    return svg.render(name, "Response graph of the meta-game", _HEIGHT, draw_in)


def places_of(graph: ResponseGraph) -> np.ndarray:
    """Returns `[N, 2]`: a grid for two players with the first policies at the lower left, else a circle."""
    if graph.nodes.shape[1] == 2:
        return graph.nodes[:, ::-1].astype(float)
    # Components stay together, the most visited one at the top.
    shares = np.bincount(graph.components, graph.shares)
    order = np.lexsort((np.arange(len(graph.nodes)), graph.components, -shares[graph.components]))
    angles = np.empty(len(order))
    angles[order] = np.pi / 2 - 2 * np.pi * np.arange(len(order)) / len(order)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * max(1.0, len(order) / 6)


def shown_edges(graph: ResponseGraph) -> np.ndarray:
    """Returns the indices of the edges to draw: best replies of each player; all wins between policies."""
    gaining = np.flatnonzero(graph.gains > 0.0)
    if graph.nodes.shape[1] == 1:
        return gaining
    best: dict[tuple[int, int], float] = {}
    for edge in gaining:
        key = (int(graph.sources[edge]), int(graph.players[edge]))
        best[key] = max(best.get(key, 0.0), float(graph.gains[edge]))
    kept = [
        edge
        for edge in gaining
        if graph.gains[edge] >= (1 - 1e-9) * best[int(graph.sources[edge]), int(graph.players[edge])]
    ]
    return np.array(kept, dtype=int)


def _draw_arrows(axes: Axes, graph: ResponseGraph) -> None:
    from matplotlib.patches import FancyArrowPatch

    places = places_of(graph)
    width = 0.8 if len(graph.nodes) > _CROWDED else 1.3
    for edge in shown_edges(graph):
        axes.add_patch(
            FancyArrowPatch(
                tuple(places[graph.sources[edge]]),
                tuple(places[graph.targets[edge]]),
                arrowstyle="-|>",
                connectionstyle=_BEND,
                mutation_scale=9,
                color=_colour(int(graph.players[edge])),
                linewidth=width,
                shrinkA=_NODE / 2,
                shrinkB=_NODE / 2 + 1,
            )
        )


def _draw_nodes(axes: Axes, graph: ResponseGraph) -> None:
    places = places_of(graph)
    top = float(graph.shares.max())
    for place, node, share, is_sink in zip(places, graph.nodes, graph.shares, graph.is_sink, strict=True):
        x, y = float(place[0]), float(place[1])
        # Two disks: the first one's opacity must not fade the frame.
        axes.plot(
            [x],
            [y],
            marker="o",
            markersize=_NODE,
            color=svg.SERIES[2],
            markeredgecolor="none",
            alpha=0.65 * float(share) / top,
        )
        axes.plot(
            [x],
            [y],
            marker="o",
            markersize=_NODE,
            markerfacecolor="none",
            markeredgecolor=svg.INK if is_sink else svg.RULE,
            markeredgewidth=1.8 if is_sink else 0.8,
        )
        label = " ".join(map(str, node))
        axes.text(x, y, label, ha="center", va="center", fontsize=10 if len(node) < 3 else 8)
    low, high = places.min(axis=0) - 0.5, places.max(axis=0) + 0.5
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _draw_legend(figure: Figure, axes: Axes, graph: ResponseGraph) -> None:
    if graph.nodes.shape[1] > 1:
        lines = [
            axes.plot([], [], color=_colour(player), label=f"player {player}")[0]
            for player in range(graph.nodes.shape[1])
        ]
        figure.legend(handles=lines, loc="outside upper center", ncols=len(lines))


def _colour(player: int) -> str:
    # The third colour is that of the nodes.
    colours = [colour for index, colour in enumerate(svg.SERIES) if index != 2]
    return colours[player % len(colours)]
