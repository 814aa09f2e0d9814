"""Meta-solvers of OpenSpiel and nashpy, with the interface of ours.

They import their libraries when they are called. Solvers of OpenSpiel's JPSRO need cvxpy.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from acme_psro.meta_game.profiles import joint_of_cells
from acme_psro.policies.meta_strategy import PopulationStrategy, ProductStrategy

_ALGORITHMS = "open_spiel.python.algorithms"


class Peer(NamedTuple):
    """A solver of another library.

    Attributes:
      name: its name.
      solve: from payoffs `[P, n_1, .., n_P]` to a meta-strategy.
      most_players: the largest number of players that it takes.
    """

    name: str
    solve: Callable[[np.ndarray], PopulationStrategy]
    most_players: int = 9


def _marginals(found: Any) -> ProductStrategy:
    """Returns marginals that sum to 1 exactly."""
    clipped = [np.maximum(np.asarray(own, np.float64).ravel(), 0.0) for own in found]
    return ProductStrategy(tuple(own / own.sum() for own in clipped))


def _lp(payoffs: np.ndarray) -> PopulationStrategy:
    nashpy = importlib.import_module("nashpy")
    return _marginals(nashpy.Game(payoffs[0], payoffs[1]).linear_program())


def _prd(payoffs: np.ndarray) -> PopulationStrategy:
    solver = importlib.import_module(f"{_ALGORITHMS}.projected_replicator_dynamics")
    return _marginals(solver.projected_replicator_dynamics(list(payoffs)))


def _regret_matching(payoffs: np.ndarray) -> PopulationStrategy:
    solver = importlib.import_module(f"{_ALGORITHMS}.regret_matching")
    return _marginals(solver.regret_matching(list(payoffs)))


def _alpha_rank(payoffs: np.ndarray) -> PopulationStrategy:
    solver = importlib.import_module("open_spiel.python.egt.alpharank")
    found = solver.sweep_pi_vs_epsilon(list(payoffs))
    return joint_of_cells(np.maximum(found, 0.0).reshape(payoffs.shape[1:]) / np.maximum(found, 0.0).sum())


def _lemke_howson(payoffs: np.ndarray) -> PopulationStrategy:
    nashpy = importlib.import_module("nashpy")
    return _marginals(nashpy.Game(payoffs[0], payoffs[1]).lemke_howson(initial_dropped_label=0))


def _jpsro(name: str) -> Callable[[np.ndarray], PopulationStrategy]:
    def solve(payoffs: np.ndarray) -> PopulationStrategy:
        jpsro = importlib.import_module(f"{_ALGORITHMS}.jpsro")
        repeats = [np.ones(size, np.int32) for size in payoffs.shape[1:]]
        found = getattr(jpsro, name)(payoffs, repeats, ignore_repeats=True)
        cells = np.maximum(np.asarray(found[0] if isinstance(found, tuple) else found, np.float64), 0.0)
        return joint_of_cells((cells / cells.sum()).reshape(payoffs.shape[1:]))

    return solve


PEERS: dict[str, Peer] = {
    "nash": Peer("nashpy's linear_program", _lp, 2),
    "prd": Peer("OpenSpiel's prd", _prd),
    "regret_matching": Peer("OpenSpiel's regret_matching", _regret_matching),
    "general_sum_nash": Peer("nashpy's lemke_howson", _lemke_howson, 2),
    "alpha_rank": Peer("OpenSpiel's alpharank", _alpha_rank),
    "max_gini_cce": Peer("OpenSpiel's mgcce", _jpsro("_mgcce")),
    "max_gini_ce": Peer("OpenSpiel's mgce", _jpsro("_mgce")),
    "half_epsilon_max_gini_cce": Peer("OpenSpiel's approx_mgcce", _jpsro("_approx_mgcce")),
    "min_epsilon_max_gini_cce": Peer("OpenSpiel's min_epsilon_mgcce", _jpsro("_min_epsilon_mgcce")),
    "min_epsilon_max_gini_ce": Peer("OpenSpiel's min_epsilon_mgce", _jpsro("_min_epsilon_mgce")),
    "max_welfare_cce": Peer("OpenSpiel's mwcce", _jpsro("_mwcce")),
    "max_welfare_ce": Peer("OpenSpiel's mwce", _jpsro("_mwce")),
}
