"""Rows of `metrics.csv`.

Exact rows are complete when their iteration ends. If payoffs are sampled, best responses are unknown: the
gains of the next iteration's responses over a mixture are lower bounds, and complete its row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from acme_psro.evaluation.exact import Evaluation
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import Response
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import Policy
from acme_psro.psro.loop import PSROState

if TYPE_CHECKING:
    from acme_psro.meta_game.estimates import SampledPayoffs

Row = dict[str, float]


def exact_row(
    state: PSROState[Policy, np.ndarray], figures: Evaluation, seconds: float, wall: float, tolerance: float
) -> Row:
    """Returns a row of exact figures, with the gaps of this iteration's responses, whether kept or not.

    Args:
      state: the state after the iteration.
      figures: the evaluation of its mixture.
      seconds: the iteration's duration.
      wall: seconds since the run began.
      tolerance: there is no gap if the best response gains no more than this.
    """
    row = _totals(state, wall)
    row |= {"nash_conv": figures.nash_conv, "exploitability": figures.exploitability}
    for player, gain in enumerate(figures.per_player_gain):
        row[f"gain_{player}"] = float(gain)
        row |= _gap_columns(player, state.responses[player] if state.responses else None, tolerance)
        row[f"population_{player}"] = len(state.populations[player])
    row["iteration_seconds"] = seconds
    return row


def sampled_row(state: PSROState[PolicyFile, SampledPayoffs], seconds: float, wall: float) -> Row:
    """Returns a row whose gains, NashConv and exploitability are not known yet; see `fill_gains`.

    Episodes are all that were played: by programs, for the gains of responses, and for payoffs.

    Args:
      state: the state after the iteration.
      seconds: the iteration's duration.
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


def fill_gains(row: Row, exploiters: Sequence[Response[PolicyT]]) -> Row:
    """Returns the row with lower bounds from responses to its mixture, one a player.

    A gain below 0 counts as 0, which is the gain of keeping the mixture. The errors of the players' gains are
    treated as independent.
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
    """Returns True if the row has its mixture's exploitability."""
    return not math.isnan(row["nash_conv"])


def wall_seconds(before: Sequence[Row], seconds: float, since_start: float) -> float:
    """Returns the seconds since a run began, including those of earlier processes.

    Args:
      before: the rows so far.
      seconds: the newest iteration's duration.
      since_start: seconds since this process began. Start-up counts in the first row, so that curves against
        time are honest.
    """
    return before[-1]["wall_seconds"] + seconds if before else since_start


def _totals(state: PSROState[PolicyT, PayoffsT], wall: float) -> Row:
    return {
        "iteration": state.iteration,
        "wall_seconds": wall,
        **dataclasses.asdict(state.counts),
    }


def _gap_columns(player: int, response: Response[PolicyT] | None, tolerance: float) -> Row:
    """Returns the gap of a response; NaN without a response, or if there was nothing to gain."""
    gap = relative = np.nan
    if response is not None and response.best_gain > tolerance:
        gap = max(response.best_gain - response.gain, 0.0)
        relative = gap / response.best_gain
    return {f"gap_{player}": gap, f"relative_gap_{player}": relative}
