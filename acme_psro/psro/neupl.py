"""NeuPL as a loop: populations of a fixed size whose members all learn at the same time.

In each iteration, an *epoch*, the oracle trains all members, each against the mixture of members that its row
of the interaction graph tells (Liu et al. 2022, arXiv:2202.07415); see `acme_psro.neupl`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.interaction_graph import effective_size
from acme_psro.oracles.base import Response
from acme_psro.psro.loop import Loop, Question, Solution
from acme_psro.psro.meta_solving import SolveMetaGame


def make_loop(
    meta_game: MetaGame[PolicyT, PayoffsT],
    solve: SolveMetaGame,
    config: NeuPLConfig,
    make_graph: Callable[[np.ndarray], np.ndarray],
    known_payoffs: Callable[[Sequence[Response[PolicyT]]], PayoffsT | None],
) -> Loop[PolicyT, PayoffsT]:
    """Returns the loop.

    Its figures are the effective size of the population, the drift of payoffs (the mean change of the payoffs
    between members whose rows stayed as they were: a population that forgets nothing has none once its
    members have learned), and the members that are frozen. Simplex-NeuPL has one more: the mean gap to exact
    responses to mixtures drawn from the simplex, as a share of what there is to gain; NaN in epochs that are
    not evaluated. If payoffs are estimated, there is the mean distance of these from exact ones, in utility
    units.

    Args:
      meta_game: knows payoffs.
      solve: the meta-solver, whose answer to the members' payoffs is the players' play.
      config: the population.
      make_graph: payoffs `[2, N, N]` -> the interaction graph `[2, N, N]`.
      known_payoffs: returns the payoffs that responses bring along, see `Loop`.
    """

    def solve_members(question: Question[PolicyT, PayoffsT]) -> Solution:
        payoffs = meta_game.tensor(question.payoffs)
        graph = make_graph(payoffs)
        figures = {"effective_size": float(effective_size(graph)), "payoff_drift": float("nan")}
        if question.known is not None:
            known = meta_game.tensor(question.known)
            figures["payoff_drift"] = _drift(known, payoffs, make_graph(known), graph, config.row_tolerance)
        learned = question.responses[0].metrics if question.responses else {}
        figures["frozen_members"] = float(learned.get("frozen", 0.0))
        if config.payoffs == "estimated" or "payoff_error" in learned:
            figures["payoff_error"] = float(learned.get("payoff_error", float("nan")))
        if config.simplex:
            figures["simplex_gap"] = float(learned.get("simplex_gap", float("nan")))
        return Solution(solve(payoffs), figures)

    return Loop(solve_members, population_size=config.population_size, known_payoffs=known_payoffs)


def _drift(
    known: np.ndarray, payoffs: np.ndarray, old: np.ndarray, new: np.ndarray, tolerance: float
) -> float:
    """Returns the mean absolute change of payoffs between members whose rows stayed; NaN without any."""
    # Members of both players must have stayed. The sinks do not count: their payoffs against each other are
    # always the same.
    stayed = np.abs(new - old).sum(axis=2) <= tolerance
    pairs = stayed[0][:, None] & stayed[1][None, :]
    pairs[0, 0] = False
    return float(np.abs(payoffs - known)[:, pairs].mean()) if pairs.any() else float("nan")
