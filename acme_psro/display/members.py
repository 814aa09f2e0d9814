"""Figures of populations whose members all keep learning, see `acme_psro.neupl`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from acme_psro.display import bars, curves, heat_maps, page
from acme_psro.display.figures import MEMBERS, TARGET_GAP, gap_lines
from acme_psro.display.formats import Row
from acme_psro.neupl.history import History

# Interaction graphs of a player that a report shows.
_GRAPHS = 4
# Responses to drawn mixtures are good if they miss at most this percentage.
_SIMPLEX_TARGET = 10.0


def make_members(metrics: Sequence[Row], history: History | None) -> list[str]:
    """Returns the figures of a population's members as HTML.

    Args:
      metrics: the rows of metrics.csv.
      history: the interaction graphs in the course of the run, and the last gaps; None if they were not
        recorded, or no epoch has ended yet.
    """
    if history is None or not len(history.epochs):
        graphs, gaps = [], []
    else:
        graphs = make_graphs(history)
        # Without a compiled game, exact best responses are unknown.
        gaps = [make_member_gaps(history)] if np.isfinite(history.gap).all() else []
    parts = [*graphs, make_sizes(metrics), make_drift(metrics), *gaps, make_mean_gaps(metrics)]
    parts.append(make_simplex_gap(metrics))
    return [part for part in parts if part is not None]


def make_graphs(history: History) -> list[str]:
    """Returns one figure a player as HTML: its interaction graph in some epochs; one if both are the same."""
    shown = _choose(history.epochs)
    titles = [f"epoch {history.epochs[index]}" for index in shown]
    if np.array_equal(history.graphs, np.broadcast_to(history.graphs[-1], history.graphs.shape)):
        shown, titles = [-1], ["all epochs"]
    is_shared = np.array_equal(history.graphs[:, 0], history.graphs[:, 1])
    parts = []
    for player in range(1 if is_shared else 2):
        graphs = [history.graphs[index, player] for index in shown]
        rows = "member" if is_shared else f"member of player {player}"
        columns = "opponent" if is_shared else f"of player {1 - player}"
        svg = heat_maps.draw_graphs(f"graph-{player}", graphs, titles, rows, columns)
        whose = "the other player’s" if is_shared else f"player {1 - player}’s"
        caption = (
            f"A row holds the probabilities by which a member’s opponents are drawn from {whose} members: "
            "the mixture that it learns to exploit. Grey: member 0, the sink, which never learns."
        )
        if is_shared:
            caption += " Both players have the same graph."
        heading = "Interaction graph" if is_shared else f"Interaction graph of player {player}"
        parts.append(page.make_figure(heading, svg, caption))
    return parts


def make_sizes(metrics: Sequence[Row]) -> str:
    """Returns the figure of the effective size and of frozen members over epochs as HTML."""
    epochs = [float(row["iteration"]) for row in metrics]
    last = metrics[-1]
    lines = [curves.Line("effective size", epochs, [row["effective_size"] for row in metrics])]
    caption = (
        "Effective size: the members of a player whose rows of the interaction graph differ, the sink "
        f"included. Members with the same row are one policy. At the end {last['effective_size']:.0f} of "
        f"{last['population_0']:.0f} differ."
    )
    frozen = [float(row.get("frozen_members", math.nan)) for row in metrics]
    # The sink alone never counts as news.
    if max((value for value in frozen if math.isfinite(value)), default=0.0) > 1:
        lines.append(curves.Line("frozen members", epochs, frozen))
        caption += (
            f" {frozen[-1]:.0f} members of each player, the sink included, are frozen: they change no more."
        )
    svg = curves.draw_counts("sizes", lines, "epoch", "members", last["population_0"])
    return page.make_figure("Effective size", svg, caption)


def make_drift(metrics: Sequence[Row]) -> str | None:
    """Returns the figure of payoff drift over epochs as HTML, or None if it is never known."""
    drift = [float(row.get("payoff_drift", math.nan)) for row in metrics]
    if not any(map(math.isfinite, drift)):
        return None
    line = curves.Line("payoff drift", [float(row["iteration"]) for row in metrics], drift)
    svg = curves.draw_convergence("drift", [line], "epoch", "game units")
    caption = (
        "Mean absolute change of the payoffs, from one epoch to the next, between members whose rows of the "
        "interaction graph stayed as they were. Members that have learned and forget nothing have none. A "
        "hole in the curve: no rows stayed."
    )
    return page.make_figure("Payoff drift", svg, caption)


def make_member_gaps(history: History) -> str:
    """Returns the figure of each member's gap to its exact best response as HTML."""
    svg = bars.draw_member_gaps("member-gaps", history.gain, history.gap)
    caption = (
        f"After epoch {history.done}. To gain: what an exact best response to a member’s mixture gains over "
        "the best member before it. Missed: how much less than that response the member itself earns; more "
        "than there was to gain, if an earlier member earns more."
    )
    return page.make_figure("Gap of each member", svg, caption)


def make_mean_gaps(metrics: Sequence[Row]) -> str | None:
    """Returns the figure of the members' mean gaps over epochs as HTML, or None if no gap is known."""
    lines = gap_lines(metrics)
    if lines is None:
        return None
    svg = curves.draw_gaps("gaps", lines, 100 * TARGET_GAP, MEMBERS.iteration, joined=True)
    caption = (
        "What a player’s members miss, on average, as a share of what exact best responses to their mixtures "
        "gain on average over the best members before them."
    )
    return page.make_figure("Mean gap of the members", svg, caption)


def make_simplex_gap(metrics: Sequence[Row]) -> str | None:
    """Returns the figure of the gap to responses to any mixture as HTML, or None if it is never known."""
    # It is known of some epochs only.
    known = [row for row in metrics if math.isfinite(row.get("simplex_gap", math.nan))]
    if not known:
        return None
    gaps = [100 * row["simplex_gap"] for row in known]
    line = curves.Line("mean gap", [row["iteration"] for row in known], gaps)
    svg = curves.draw_gaps("simplex-gap", [line], _SIMPLEX_TARGET, MEMBERS.iteration, joined=True)
    caption = (
        "What the network misses when it responds to mixtures that are drawn uniformly from the simplex of "
        "all members, on average, as a share of what exact best responses gain. At the end "
        f"{gaps[-1]:.1f}&nbsp;%."
    )
    return page.make_figure("Gap to drawn mixtures", svg, caption)


def _choose(epochs: np.ndarray) -> list[int]:
    """Returns the indices of the epochs to show: the first, the last, and some between, denser at first."""
    # Graphs change most in the first epochs.
    wanted = np.geomspace(epochs[0], epochs[-1], _GRAPHS)
    return sorted({int(np.abs(epochs - epoch).argmin()) for epoch in wanted})
