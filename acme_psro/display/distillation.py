"""Figures of populations whose policies are all of one network, see `acme_psro.neupl.distilling_oracle`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from acme_psro.display import curves, formats, page
from acme_psro.display.formats import Row


def is_distilled(row: Row) -> bool:
    """Returns True if a metrics row is of populations whose policies are all of one network."""
    return "distillation_gap" in row


def make_distillation(metrics: Sequence[Row]) -> list[str]:
    """Returns the figures of what members of one network lose, as HTML; none if there is no such network.

    Args:
      metrics: the rows of metrics.csv; at least one.
    """
    if not is_distilled(metrics[-1]):
        return []
    return [_make_losses(metrics), _make_kls(metrics), _make_sizes(metrics)]


def make_tiles(metrics: Sequence[Row]) -> list[page.Tile]:
    """Returns the headline number of a network's members; none if there is no such network."""
    if not is_distilled(metrics[-1]):
        return []
    losses = [row["distillation_gap"] for row in metrics if math.isfinite(row["distillation_gap"])]
    worst = formats.format_value(max(losses, default=math.nan))
    return [page.Tile("Lost by distillation", worst, "largest loss of a gain in any iteration")]


def _make_losses(metrics: Sequence[Row]) -> str:
    """Returns the figure of the gains that distillation loses, and of payoffs that change by it."""
    lines = [
        _line(metrics, "distillation_gap", "gain of new members"),
        _line(metrics, "kept_drift", "payoffs of others"),
    ]
    svg = curves.draw_convergence("distillation-gap", lines, "iteration", "game units")
    caption = (
        "Gain of new members: how much less they gain than the best responses that they learn from, the "
        "largest loss of the players. Payoffs of others: the largest change of any payoff of earlier "
        "members. Both are 0 if nothing was lost."
    )
    return page.make_figure("Loss by distillation", svg, caption)


def _make_kls(metrics: Sequence[Row]) -> str:
    """Returns the figure of the KLs of new and of earlier members."""
    lines = [
        _line(metrics, "distillation_kl", "new members"),
        _line(metrics, "kept_kl", "earlier members"),
    ]
    svg = curves.draw_convergence("distillation-kl", lines, "iteration", "nats")
    caption = (
        "Mean KL of the network’s probabilities at a member’s information states: of new members from their "
        "responses, of earlier ones from what they were. Of the member with the largest one."
    )
    return page.make_figure("KL of the members", svg, caption)


def _make_sizes(metrics: Sequence[Row]) -> str:
    """Returns the figure of the numbers of policies that play differently."""
    players = range(formats.count_players(metrics[-1]))
    lines = [_line(metrics, f"different_{player}", f"player {player}") for player in players]
    last = metrics[-1]
    top = max(float(last[f"population_{player}"]) for player in players)
    svg = curves.draw_counts("different", lines, "iteration", "policies", top)
    told = " / ".join(f"{last[f'different_{player}']:.0f}" for player in players)
    caption = (
        "Policies of each population that play differently, wherever they get to. At the end "
        f"{told} of {formats.format_populations(last)}."
    )
    return page.make_figure("Different policies", svg, caption)


def _line(metrics: Sequence[Row], name: str, title: str) -> curves.Line:
    iterations = [float(row["iteration"]) for row in metrics]
    return curves.Line(title, iterations, [float(row.get(name, math.nan)) for row in metrics])
