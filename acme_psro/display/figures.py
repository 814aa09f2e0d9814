"""Figures of a report, each with its heading and a caption that explains it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.display import axes, curves, formats, heat_maps, page
from acme_psro.display.formats import Row

# Entry i holds the meta-strategies after iteration i: one `[n_p]` vector of probabilities for each player.
MetaStrategies = Sequence[Sequence[np.ndarray]]

# A learned best response is good if it misses at most this share of the exact gain.
TARGET_GAP = 0.03
# Names of the figures of convergence by their axes, as images in TensorBoard have them.
_IDS = {"wall_seconds": "time", "episodes": "episodes", "iteration": "iterations"}


class Words(NamedTuple):
    """Words in figures of populations.

    Attributes:
      policy: a policy of a population.
      policies: several of them.
      iteration: a round of the loop.
      grows: True if policies join populations in the course of a run.
    """

    policy: str
    policies: str
    iteration: str
    grows: bool


POLICIES = Words("policy", "policies", "iteration", grows=True)
MEMBERS = Words("member", "members", "epoch", grows=False)

_POPULATION_EXPLOITABILITY = (
    "Population exploitability is that of the best mixture of the populations, the one that anyone can "
    "exploit least."
)


def make_convergence(metrics: Sequence[Row]) -> list[str]:
    """Returns figures of NashConv and exploitability over time and over the work of a run.

    Args:
      metrics: the rows of metrics.csv; at least one.

    Returns:
      Two figures as HTML: over wall time; and over episodes or, if the run played none, over iterations.
    """
    # Lines connect the rows that are known; others may lie between them, or come last.
    metrics = [row for row in metrics if math.isfinite(row["nash_conv"])] or metrics
    if any(row["episodes"] > 0 for row in metrics):
        work = ("episodes", "Episodes are those played to train best responses and to estimate payoffs.")
    else:
        work = ("iteration", "Shown over iterations, since this run played no episodes.")
    # The smaller one of the two comes first.
    measures = dict(reversed(formats.convergence_columns(metrics[-1]).items()))
    values = {name: _column(metrics, name) for name in measures}
    # Rows of earlier versions lack it, and runs with exact responses know it only at the end.
    of_population = [float(row.get("population_exploitability", math.nan)) for row in metrics]
    has_population = any(map(math.isfinite, of_population))
    all_values = [*itertools.chain(*values.values()), *(of_population if has_population else ())]
    is_log = curves.suits_log_scale(all_values)
    explained = _explain_convergence(metrics[-1], is_log)
    if has_population:
        explained += f" {_POPULATION_EXPLOITABILITY}"
    parts = []
    for axis, caption in (("wall_seconds", explained), work):
        x, label = _scale(metrics, axis)
        lines = [
            curves.Line(title, x, values[column], _errors(metrics, column))
            for column, title in measures.items()
        ]
        if has_population:
            lines.append(curves.Line("population exploitability", x, of_population))
        svg = curves.draw_convergence(f"convergence-{_IDS[axis]}", lines, label, "game units")
        parts.append(page.make_figure(axes.AXES[axis][0], svg, caption))
    return parts


def make_restricted_game(metrics: Sequence[Row]) -> str | None:
    """Returns the figure of a restricted game's size as HTML, or None if the run has no restricted game."""
    if not any(math.isfinite(row.get("restricted_share", math.nan)) for row in metrics):
        return None
    iterations = _column(metrics, "iteration")
    actions, infosets = (_column(metrics, f"restricted_{name}") for name in ("actions", "infosets"))
    allowed = [each / states for each, states in zip(actions, infosets, strict=True)]
    lines = [curves.Line("allowed actions per information state", iterations, allowed)]
    svg = curves.draw_convergence("restricted-game", lines, "iteration", "actions")
    last = metrics[-1]
    caption = (
        "Actions that some response takes at an information state, on average over the states that a player "
        f"can reach by them. At the end {last['restricted_actions']:,.0f} actions are allowed at "
        f"{last['restricted_infosets']:,.0f} information states: "
        f"{formats.format_percent(last['restricted_share'])} of all actions of the game. The restricted game "
        "is solved with the game’s own rules; only the responses are learned."
    )
    return page.make_figure("Size of the restricted game", svg, caption)


def gap_lines(metrics: Sequence[Row]) -> list[curves.Line] | None:
    """Returns the players' relative best-response gaps in percent, or None if no gap is known."""
    iterations = _column(metrics, "iteration")
    lines = [
        curves.Line(f"player {p}", iterations, [100 * formats.relative_gap(row, p) for row in metrics])
        for p in range(formats.count_players(metrics[-1]))
    ]
    return lines if any(math.isfinite(gap) for line in lines for gap in line.y) else None


def make_gaps(metrics: Sequence[Row]) -> str | None:
    """Returns the figure of the relative best-response gaps as HTML, or None if no gap is known."""
    lines = gap_lines(metrics)
    if lines is None:
        return None
    gaps = [gap for line in lines for gap in line.y if math.isfinite(gap)]
    target = 100 * TARGET_GAP
    svg = curves.draw_gaps("gaps", lines, target)
    within = sum(gap <= target for gap in gaps)
    caption = (
        f"What a learned best response misses of the exact best response’s gain, when it is "
        f"added to the population. {within} of {len(gaps)} are within {target:g}&nbsp;%."
    )
    return page.make_figure("Gap of the learned best responses", svg, caption)


def make_meta_strategies(meta_strategies: MetaStrategies, words: Words = POLICIES) -> list[str]:
    """Returns one figure for each player as HTML: its meta-strategy over the iterations."""
    absent = "; grey: not found yet" if words.grows else ""
    parts = []
    for player in range(len(meta_strategies[-1])):
        strategies = [marginals[player] for marginals in meta_strategies]
        final = np.asarray(strategies[-1])
        svg = heat_maps.draw_meta_strategy(
            f"meta-strategy-{player}", strategies, player, words.iteration, words.policy
        )
        caption = (
            f"Probability of each {words.policy} after each {words.iteration}{absent}. At the end "
            f"{np.count_nonzero(final > 0.01)} of {len(final)} {words.policies} have more than 1&nbsp;%."
        )
        parts.append(page.make_figure(f"Meta-strategy of player {player}", svg, caption))
    return parts


def make_payoffs(payoffs: np.ndarray, final: Sequence[np.ndarray], words: Words = POLICIES) -> str:
    """Returns the figure of player 0's payoffs against player 1's policies as HTML.

    Args:
      payoffs: `[P, n_0, .., n_{P-1}]` payoff tensor in the game's units; nan if unknown.
      final: the final meta-strategy of each player, `[n_p]` probabilities.
      words: the words for policies.
    """
    matrix = np.asarray(payoffs[0], dtype=np.float64)
    caption = f"Expected return of player 0 for each pair of {words.policies}"
    if matrix.ndim > 2:
        # The product contracts the last axis, so the last player's meta-strategy comes first.
        for marginal in reversed(final[2:]):
            matrix = matrix @ np.asarray(marginal, dtype=np.float64)
        others = " and ".join(f"player {p}" for p in range(2, len(final)))
        caption += f", averaged over the final meta-strategy of {others}"
    columns = f"{words.policy} of player 1" if matrix.ndim == 2 else ""
    if matrix.ndim == 1:
        # A game of one player: a heat map of a single column.
        matrix = matrix[:, None]
        caption = f"Expected return of player 0 for each {words.policy}"
    missing = "; grey: unknown" if np.isnan(matrix).any() else ""
    svg = heat_maps.draw_payoffs("payoffs", matrix, f"{words.policy} of player 0", columns)
    caption += f". Blue: player 0 gains; orange: player 0 loses{missing}."
    return page.make_figure("Payoffs of player 0", svg, caption)


def _explain_convergence(last: Row, is_log: bool) -> str:
    """Returns the caption that defines NashConv and exploitability, exact or as lower bounds."""
    players = formats.count_players(last)
    scale = f"The vertical axis is {'logarithmic' if is_log else 'linear'}."
    if formats.is_correlated(last):
        after = "; the CE gap is what they gain if each responds to every policy that is recommended to it"
        return (
            f"The CCE gap is what the {players} players together gain by exact best responses to the joint "
            f"distribution, each alone{after if 'ce_gap' in last else ''}. {scale}"
        )
    if formats.is_bounded(last):
        return (
            f"Lower bounds: what the {players} players together gain, in simulated games, by responses that "
            f"were trained against the mixture; bars are one standard error up and down. Estimates may be "
            f"below 0. Exploitability is NashConv / {players}. {scale}"
        )
    return (
        f"NashConv is what the {players} players together gain by exact best responses to the "
        f"mixture; exploitability is NashConv / {players}. {scale}"
    )


def _column(metrics: Sequence[Row], name: str) -> list[float]:
    """Returns one column of the metrics, an entry for each row."""
    return [float(row[name]) for row in metrics]


def _errors(metrics: Sequence[Row], name: str) -> list[float] | None:
    """Returns the standard errors of a column, or None if its values are exact."""
    return _column(metrics, f"{name}_stderr") if formats.is_bounded(metrics[-1]) else None


def _scale(metrics: Sequence[Row], axis: str) -> tuple[list[float], str]:
    """Returns a column that is an axis, in a unit that suits its largest value, and the axis's label."""
    values = _column(metrics, axis)
    divisor, label = axes.choose_unit(axis, max(values))
    return [value / divisor for value in values], label
