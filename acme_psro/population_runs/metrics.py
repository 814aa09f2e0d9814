"""Rows of `metrics.csv`.

A row of an exact run is complete when its iteration ends. If payoffs are sampled, exact best responses are
unknown. The responses of the next iteration are trained against the mixture, so what they gain is a lower
bound of what exact best responses would gain. The row is completed with estimates of these gains, with their
standard errors, and with bounds that hold although the estimates are uncertain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_psro.evaluation.exact import Evaluation
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import Response
from acme_psro.policies.meta_strategy import BehaviouralStrategy, MetaStrategy
from acme_psro.policies.stored import PolicyFile
from acme_psro.psro.loop import PSROState
from acme_psro.solvers.certificates import regret
from acme_psro.solvers.properties import Concept, properties_of

if TYPE_CHECKING:
    from acme_psro.meta_game.estimates import SampledPayoffs

Row = dict[str, float]

# Standard errors by which a lower bound stays below its estimate: it holds with a probability of 95 %.
BOUND_ERRORS = 1.645


def exact_row(
    state: PSROState[PolicyT, np.ndarray],
    figures: Evaluation,
    seconds: float,
    wall: float,
    tolerance: float,
    population_exploitability: float | None = None,
    concept: Concept = Concept.NASH,
) -> Row:
    """Returns a row of exact metrics, with the gaps of all responses of this iteration.

    A response has a gap even if it was not added to its population.

    Args:
      state: the state after the iteration.
      figures: the exact evaluation of the state's mixture.
      seconds: the iteration's duration in seconds.
      wall: seconds since the run began.
      tolerance: gaps are NaN if the exact best response gains no more than this, in utility units.
      population_exploitability: the exploitability of the least exploitable mixture of the populations; None
        in games in which it is not defined.
      concept: the meta-solver's solution concept, by which the meta-regret is measured.
    """
    row = _totals(state, wall)
    row |= {"nash_conv": figures.nash_conv, "exploitability": figures.exploitability}
    if population_exploitability is not None:
        row["population_exploitability"] = population_exploitability
    row |= state.figures
    row["meta_regret"] = _largest_regret(state.payoffs, state.meta_strategy, concept)
    for player, gain in enumerate(figures.per_player_gain):
        row[f"gain_{player}"] = float(gain)
        row |= _gap_columns(player, state.responses[player] if state.responses else None, tolerance)
        row[f"population_{player}"] = len(state.populations[player])
    row["iteration_seconds"] = seconds
    return row


def sampled_row(
    state: PSROState[PolicyFile, SampledPayoffs],
    seconds: float,
    wall: float,
    payoff_episodes: int | None = None,
    counted: int = 0,
    concept: Concept = Concept.NASH,
) -> Row:
    """Returns a row whose gains, NashConv and exploitability are not known yet; see `fill_gains`.

    The number of episodes includes those of programs, those that estimate the gains of responses, and those
    that estimate payoffs.

    Args:
      state: the state after the iteration.
      seconds: the iteration's duration in seconds.
      wall: seconds since the run began.
      payoff_episodes: episodes that payoffs are estimated from; None for the sum of those of all profiles.
      counted: the number of them that the oracle's counts include already.
      concept: the meta-solver's solution concept, by which the meta-regret is measured.
    """
    row = _totals(state, wall)
    played = int(state.payoffs.episodes.sum()) if payoff_episodes is None else payoff_episodes
    row["episodes"] += played - counted
    row |= dict.fromkeys(("nash_conv", "exploitability"), math.nan)
    row |= state.figures
    row["meta_regret"] = _largest_regret(state.payoffs.mean, state.meta_strategy, concept)
    for player, population in enumerate(state.populations):
        row |= dict.fromkeys((f"gain_{player}{end}" for end in ("", "_stderr", "_lower")), math.nan)
        row |= _gap_columns(player, None, 0.0)
        row[f"population_{player}"] = len(population)
    for name in ("nash_conv", "exploitability"):
        row |= dict.fromkeys((f"{name}_stderr", f"{name}_lower"), math.nan)
    row["payoff_episodes"] = played
    row["iteration_seconds"] = seconds
    return row


def fill_gains(row: Row, exploiters: Sequence[Response[PolicyT]], constant_sum: bool = False) -> Row:
    """Returns the row completed with its gains, NashConv and exploitability, as far as exploiters know them.

    `nash_conv` is the sum of the estimated gains. Estimates below 0 count as they are: if they were raised to
    0, the sum would be above its true value on average. `nash_conv_lower` is the bound, `BOUND_ERRORS`
    standard errors below the sum and never below 0, because every player gains 0 if it keeps to the mixture.
    The columns of exploitability and of single gains have the same meaning.

    Args:
      row: a row of `sampled_row`.
      exploiters: responses to the row's mixture, one for each player.
      constant_sum: True if the players' returns always add up to the same number. The mixture's own returns
        then cancel in the sum of the gains, and so do their errors. Otherwise, the errors of the players'
        gains are treated as independent.
    """
    players = len(exploiters)
    gains = [response.gain for response in exploiters]
    errors = [response.standard_error for response in exploiters]
    total = math.fsum(gains)
    # The error of a response's return alone follows from that of its gain, because the two parts of the
    # gain are independent.
    parts = [
        math.sqrt(max(response.standard_error**2 - response.own_error**2, 0.0)) for response in exploiters
    ]
    error = math.hypot(*(parts if constant_sum else errors))
    filled = row | _bounded("nash_conv", total, error)
    filled |= _bounded("exploitability", total / players, error / players)
    for player, (gain, deviation) in enumerate(zip(gains, errors, strict=True)):
        filled |= _bounded(f"gain_{player}", gain, deviation)
    return filled


def _bounded(name: str, value: float, error: float) -> Row:
    """Returns an estimate with its standard error and its lower bound."""
    return {name: value, f"{name}_stderr": error, f"{name}_lower": max(0.0, value - BOUND_ERRORS * error)}


def align(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows with the same columns; values that rows of earlier versions lack are NaN."""
    widest = max(rows, key=len)
    return [{name: row.get(name, math.nan) for name in widest} for row in rows]


def is_known(row: Row) -> bool:
    """Returns True if the row has its mixture's exploitability."""
    return not math.isnan(row["nash_conv"])


def no_player_gains(row: Row, tolerance: float, concept: Concept = Concept.NASH) -> bool:
    """Returns True if no player gains more than a tolerance, in utility units; False if gains are unknown.

    Over a joint distribution the players together must gain no more.

    Args:
      row: a row of metrics.
      tolerance: the tolerance.
      concept: the meta-solver's solution concept.
    """
    if "cce_gap" in row:
        return row.get("ce_gap" if concept is Concept.CE else "cce_gap", math.inf) <= tolerance
    gains = [value for name, value in row.items() if name.startswith("gain_") and name[5:].isdigit()]
    return max(gains, default=math.inf) <= tolerance


def concept_of(config: Mapping[str, Any]) -> Concept:
    """Returns the solution concept of the meta-solver of a run's configuration; Nash if it has none."""
    solver = config.get("meta_solver")
    return Concept.NASH if solver is None else properties_of(solver).concept


def wall_seconds(before: Sequence[Row], seconds: float, since_start: float) -> float:
    """Returns the seconds since a run began, including those of earlier processes.

    Args:
      before: the rows so far.
      seconds: the newest iteration's duration in seconds.
      since_start: seconds since this process began. Only the first row uses it, so that the time of imports
        and of compiling the game counts in curves against time.
    """
    return before[-1]["wall_seconds"] + seconds if before else since_start


def _largest_regret(
    payoffs: np.ndarray, meta_strategy: MetaStrategy, concept: Concept = Concept.NASH
) -> float:
    """Returns the largest regret of a player in the meta-game; NaN if the players mix no whole policies."""
    if isinstance(meta_strategy, BehaviouralStrategy):
        return math.nan
    return float(regret(payoffs, meta_strategy, concept).max())


def _totals(state: PSROState[PolicyT, PayoffsT], wall: float) -> Row:
    return {
        "iteration": state.iteration,
        "wall_seconds": wall,
        **dataclasses.asdict(state.counts),
    }


def _gap_columns(player: int, response: Response[PolicyT] | None, tolerance: float) -> Row:
    """Returns a response's gap: the exact best response's gain minus the response's, absolute and relative.

    Both are NaN without a response, and if the exact best response gains no more than `tolerance`. Sampled
    runs pass no response, because they do not know the gain of an exact best response.
    """
    gap = relative = np.nan
    # Dividing by a gain within the tolerance would blow rounding errors up to a large relative gap.
    if response is not None and response.best_gain > tolerance:
        gap = max(response.best_gain - response.gain, 0.0)
        relative = gap / response.best_gain
    return {f"gap_{player}": gap, f"relative_gap_{player}": relative}
