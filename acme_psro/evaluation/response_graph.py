"""Response graphs of meta-games: which better replies lead from profile to profile, and where they end.

Nodes are profiles of policies; in a symmetric game of two players they may be policies, of which both
players have the same population. Edges are a player's better replies. Sink components, which no better
reply leaves, are what evolution ends in as selection becomes strict (Omidshafiei et al. 2019,
arXiv:1903.01373): a strict Nash equilibrium is one of a single profile, a cycle one of several.

Dimensions: `N` nodes, `E` edges, `P` players.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs
from acme_psro.solvers import alpha_rank, stationary

_EPS = 1e-6
# Payoffs of a symmetric game agree to this share of their range.
_SYMMETRIC = 1e-9


class ResponseGraph(NamedTuple):
    """Better replies and ties of a meta-game, with alpha-Rank's rates.

    Attributes:
      nodes: `[N, P]` int, the policies of each profile; `[N, 1]` if nodes are policies.
      sources: `[E]` int, nodes before a switch.
      targets: `[E]` int, nodes after it.
      players: `[E]` int, who switches; 0 if nodes are policies.
      gains: `[E]`, what is gained, in utility units: above 0, or 0 for a tie.
      rates: `[E]`, the probability of the switch in a step of alpha-Rank.
      components: `[N]` int, the strongly connected component of each node; ties lead both ways.
      is_sink: `[N]` bool, True for nodes of components that no edge leaves.
      shares: `[N]`, alpha-Rank's stationary distribution.
    """

    nodes: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    players: np.ndarray
    gains: np.ndarray
    rates: np.ndarray
    components: np.ndarray
    is_sink: np.ndarray
    shares: np.ndarray

    @property
    def sinks(self) -> list[np.ndarray]:
        """The nodes of each sink component, the most visited one first."""
        numbers = np.unique(self.components[self.is_sink])
        sinks = [np.flatnonzero(self.components == number) for number in numbers]
        return sorted(sinks, key=lambda sink: -self.shares[sink].sum())


def of_profiles(
    payoffs: np.ndarray, *, alpha: float = math.inf, population: int = 50, eps: float = _EPS
) -> ResponseGraph:
    """Returns the graph over the profiles of a meta-game, numbered in row-major order.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game.
      alpha: intensity of selection, for rates and shares; see `alpha_rank.solve`, as for the others.
      population: size of the evolving population.
      eps: noise if alpha is infinite.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`).
      RuntimeError: there are too many profiles for alpha-Rank.
    """
    payoffs = check_payoffs(payoffs)
    nodes = np.stack(np.unravel_index(np.arange(payoffs[0].size), payoffs.shape[1:]), axis=1)
    return _graph(nodes, alpha_rank.switches_of(payoffs), alpha, population, eps)


def of_policies(
    payoffs: np.ndarray, *, alpha: float = math.inf, population: int = 50, eps: float = _EPS
) -> ResponseGraph:
    """Returns the graph over the policies of a symmetric game: edges lead to policies that win a pairing.

    A mutant meets residents only, and the two earn what they earn against each other, as in alpha-Rank's
    single population with local selection.

    Args:
      payoffs: `[2, n, n]`, player 1's payoffs the transpose of player 0's.
      alpha: see `of_profiles`, as for the others.
      population: size of the evolving population.
      eps: noise if alpha is infinite.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`), or the game is not symmetric.
    """
    payoffs = check_payoffs(payoffs)
    if not is_symmetric(payoffs):
        raise ValueError(
            "the response graph over policies needs a symmetric two-player game, in which player 1's "
            "payoffs are the transpose of player 0's; use of_profiles"
        )
    own = payoffs[0]
    sources, targets = np.nonzero(~np.eye(len(own), dtype=bool))
    gains = own[targets, sources] - own[sources, targets]
    gains[np.abs(gains) <= _SYMMETRIC * np.ptp(own)] = 0.0
    switches = alpha_rank.Switches(len(own), sources, targets, np.zeros(len(sources), int), gains)
    return _graph(np.arange(len(own))[:, None], switches, alpha, population, eps)


def is_symmetric(payoffs: np.ndarray) -> bool:
    """Returns True if two players have the same policies and payoffs, as far as the payoffs tell."""
    return (
        len(payoffs) == 2
        and payoffs.shape[1] == payoffs.shape[2]
        and bool(np.abs(payoffs[1] - payoffs[0].T).max() <= _SYMMETRIC * max(1e-300, np.ptp(payoffs)))
    )


def _graph(
    nodes: np.ndarray, switches: alpha_rank.Switches, alpha: float, population: int, eps: float
) -> ResponseGraph:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    size, sources, targets, players, gains = switches
    logs = alpha_rank.log_rates(gains, alpha, population, eps)
    shares = stationary.solve(stationary.Chain(size, sources, targets, logs))
    # All switches from a profile are equally likely to be tried.
    rates = np.exp(logs) * size / max(1, len(sources))
    kept = gains >= 0.0
    sources, targets = sources[kept], targets[kept]
    table = csr_array((np.ones(len(sources)), (sources, targets)), shape=(size, size))
    count, components = connected_components(table, directed=True, connection="strong")
    is_left = np.zeros(count, bool)
    is_left[components[sources[components[sources] != components[targets]]]] = True
    return ResponseGraph(
        nodes,
        sources,
        targets,
        players[kept],
        gains[kept],
        rates[kept],
        components,
        ~is_left[components],
        shares,
    )
