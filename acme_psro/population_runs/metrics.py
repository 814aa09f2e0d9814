"""Rows of `metrics.csv`.

Exact rows are known when their iteration ends. Where payoffs are simulated nobody knows best responses: what
the responses of the next iteration gain over a mixture is a lower bound on what there is to gain, so a row
is filled when they are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from acme_psro.evaluation.exact import Evaluation
from acme_psro.oracles.base import Response
from acme_psro.psro.loop import PSROState

Row = dict[str, float]


def exact_row(state: PSROState, figures: Evaluation, seconds: float, wall: float, tolerance: float) -> Row:
    """A row of exact figures; gaps are of the responses sought in this iteration, kept or not.

    Args:
      state: after the iteration.
      figures: of its mixture.
      seconds: that the iteration took.
      wall: seconds since the run began.
      tolerance: a best response that gains no more leaves no gap.
    """
    row = _totals(state, wall)
    row |= {"nash_conv": figures.nash_conv, "exploitability": figures.exploitability}
    for player, gain in enumerate(figures.per_player_gain):
        row[f"gain_{player}"] = float(gain)
        row |= _gap_columns(player, state.responses[player] if state.responses else None, tolerance)
        row[f"population_{player}"] = len(state.populations[player])
    row["iteration_seconds"] = seconds
    return row


def sampled_row(state: PSROState, seconds: float, wall: float) -> Row:
    """A row whose gains, NashConv and exploitability are not known yet; see `fill_gains`.

    Episodes are all that were played: by programs, for the gains of responses, and for payoffs.

    Args:
      state: after the iteration, its payoffs an `acme_psro.meta_game.estimates.SampledPayoffs`.
      seconds: that the iteration took.
      wall: seconds since the run began.
    """
    row = _totals(state, wall)
    played = int(state.payoffs.episodes.sum())
    row["episodes"] += played
    row |= dict.fromkeys(("nash_conv", "exploitability"), math.nan)
    for player, population in enumerate(state.populations):
        row |= dict.fromkeys((f"gain_{player}", f"gain_{player}_stderr"), math.nan)
        row |= _gap_columns(player, None, 0.0)
        row[f"population_{player}"] = len(population)
    row |= dict.fromkeys(("nash_conv_stderr", "exploitability_stderr"), math.nan)
    row["payoff_episodes"] = played
    row["iteration_seconds"] = seconds
    return row


def fill_gains(row: Row, exploiters: Sequence[Response]) -> Row:
    """The row with lower bounds from responses to its mixture, one a player.

    A gain below 0 counts as 0, as staying with the mixture gains that. Errors of the players' gains are taken
    for independent.
    """
    gains = [max(response.gain, 0.0) for response in exploiters]
    errors = [response.standard_error for response in exploiters]
    total, error = math.fsum(gains), math.hypot(*errors)
    filled = row | {"nash_conv": total, "nash_conv_stderr": error}
    filled |= {"exploitability": total / len(gains), "exploitability_stderr": error / len(gains)}
    for player, (gain, deviation) in enumerate(zip(gains, errors, strict=True)):
        filled |= {f"gain_{player}": gain, f"gain_{player}_stderr": deviation}
    return filled


def is_known(row: Row) -> bool:
    """Whether the row says how exploitable its mixture is."""
    return not math.isnan(row["nash_conv"])


def wall_seconds(before: Sequence[Row], seconds: float, since_start: float) -> float:
    """Seconds since a run began, those of earlier processes included.

    Args:
      before: the rows so far.
      seconds: that the newest iteration took.
      since_start: of this process. What starting up took belongs to the first row, so that curves against
        time are honest.
    """
    return before[-1]["wall_seconds"] + seconds if before else since_start


def _totals(state: PSROState, wall: float) -> Row:
    return {
        "iteration": state.iteration,
        "wall_seconds": wall,
        "episodes": state.episodes,
        "env_steps": state.env_steps,
        "gradient_steps": state.gradient_steps,
    }


def _gap_columns(player: int, response: Response | None, tolerance: float) -> Row:
    """The gap of a response; not a number without one, or where there was nothing to gain."""
    gap = relative = np.nan
    if response is not None and response.best_gain > tolerance:
        gap = max(response.best_gain - response.gain, 0.0)
        relative = gap / response.best_gain
    return {f"gap_{player}": gap, f"relative_gap_{player}": relative}
