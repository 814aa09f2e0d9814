"""Interaction graphs: the mixture of the other player's members that each member learns to exploit.

A graph is `[P, N, N]`: row i of player p holds the probabilities by which the other player's members are
drawn against member i (Liu et al. 2022, arXiv:2202.07415, section 2). Member 0 is the sink: it never learns,
so its row is 0. A graph whose rows end before the diagonal is grounded: every member responds to earlier ones
only.

Members with the same row are the same policy, because the row is all that tells the network which member it
is.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from acme_psro.solvers import alpha_rank, max_entropy_nash, nash

# Rows of payoffs `[P, N, N]` in, a graph `[P, N, N]` out.
GraphMaker = Callable[[np.ndarray], np.ndarray]

_ROUNDING = 1e-6
# What a member's mixture may lose against the equilibrium, in typical gaps of payoffs.
_SLACKS = (1e-5, 1e-4, 1e-3, 1e-2)


class GraphEntry(NamedTuple):
    """A maker of graphs behind a name.

    Attributes:
      summary: what members respond to, for lists of graphs.
      make: makes the graph from payoffs.
      plays_itself: True if members may train against nobody but themselves.
    """

    summary: str
    make: GraphMaker
    plays_itself: bool = False


def psro_nash(payoffs: np.ndarray) -> np.ndarray:
    """Returns the graph of PSRO: each member responds to the equilibrium of the members before it.

    The equilibrium is the one of maximum entropy, which is unique and continuous in the payoffs; vertices of
    a linear program would jump as the members learn (Liu et al. 2022, algorithm 3).

    Args:
      payoffs: `[2, N, N]`, zero-sum, in utility units.
    """
    graph = np.zeros_like(payoffs)
    for member in range(1, payoffs.shape[1]):
        before = _equilibrium(payoffs[:, :member, :member])
        for player in range(2):
            graph[player, member, :member] = before[1 - player]
    return graph


def _equilibrium(payoffs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the players' equilibrium of maximum entropy `[n]`, as exactly as it can be found."""
    for slack in _SLACKS:
        with contextlib.suppress(RuntimeError):
            return max_entropy_nash.solve(payoffs, slack=slack).marginals
    # Payoffs of very different sizes leave no digits for the entropy.
    return nash.solve(payoffs).marginals


def psro_alpha_rank(payoffs: np.ndarray) -> np.ndarray:
    """Returns the graph of alpha-PSRO: each member responds to the alpha-Rank of the members before it.

    A row holds the other player's marginal of the stationary distribution, in the limit of infinite alpha
    (Muller et al. 2020, arXiv:1909.12823). Only the order of payoffs counts, so that rows jump when two
    payoffs change places.

    Args:
      payoffs: `[2, N, N]`, in utility units.
    """
    graph = np.zeros_like(payoffs)
    for member in range(1, payoffs.shape[1]):
        before = alpha_rank.solve_marginals(payoffs[:, :member, :member]).marginals
        for player in range(2):
            graph[player, member, :member] = before[1 - player]
    return graph


def fictitious_play(payoffs: np.ndarray) -> np.ndarray:
    """Returns the graph of fictitious play: members respond to the uniform mixture of those before."""
    num = payoffs.shape[1]
    rows = np.tril(np.ones((num, num)), -1)
    return np.stack([rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)] * len(payoffs))


def uniform(payoffs: np.ndarray) -> np.ndarray:
    """Returns the graph in which each member responds to the uniform mixture of all members."""
    return _with_sink(payoffs, np.full(payoffs.shape[1:], 1 / payoffs.shape[1]))


def self_play(payoffs: np.ndarray) -> np.ndarray:
    """Returns the graph in which each member responds to the other player's member of the same index."""
    return _with_sink(payoffs, np.eye(payoffs.shape[1]))


def cycle(payoffs: np.ndarray) -> np.ndarray:
    """Returns the graph in which each member responds to the next one, and the last one to member 1."""
    num = payoffs.shape[1]
    rows = np.zeros((num, num))
    for member in range(1, num):
        rows[member, member + 1 if member + 1 < num else min(1, num - 1)] = 1.0
    return _with_sink(payoffs, rows)


GRAPHS: dict[str, GraphEntry] = {
    "psro_nash": GraphEntry("the equilibrium of the members before", psro_nash),
    "psro_alpha_rank": GraphEntry("the alpha-Rank of the members before", psro_alpha_rank),
    "fictitious_play": GraphEntry("the uniform mixture of the members before", fictitious_play),
    "uniform": GraphEntry("the uniform mixture of all members", uniform),
    "cycle": GraphEntry("the next member", cycle, plays_itself=True),
    "self_play": GraphEntry("itself", self_play, plays_itself=True),
}


def get_graph(name: str) -> GraphEntry:
    """Returns the maker of this name.

    Raises:
      ValueError: the name is unknown. The message lists the known names.
    """
    if name not in GRAPHS:
        raise ValueError(f"--graph={name} is not known; use one of {', '.join(sorted(GRAPHS))}.")
    return GRAPHS[name]


def make_graph(name: str, payoffs: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns the graph `[2, N, N]` of a maker, checked, with rows that agree made the same.

    Args:
      name: a key of `GRAPHS`.
      payoffs: `[2, N, N]`, in utility units.
      tolerance: rows agree if the sum of their differences is at most this.

    Raises:
      ValueError: the maker is unknown, or its graph is malformed.
    """
    entry = get_graph(name)
    graph = entry.make(payoffs)
    check_graph(graph, entry.plays_itself)
    return merge_rows(graph, tolerance)


def check_graph(graph: np.ndarray, plays_itself: bool = False) -> None:
    """Checks a graph.

    Args:
      graph: `[P, N, N]`.
      plays_itself: True to allow members that train against nobody but themselves.

    Raises:
      ValueError: the shape is wrong, a row is no distribution, or a member trains against itself only.
    """
    if graph.ndim != 3 or graph.shape[1] != graph.shape[2] or graph.shape[1] < 2:
        raise ValueError(
            f"an interaction graph has shape [players, N, N] with at least 2 members, not {graph.shape}."
        )
    for player, rows in enumerate(graph):
        if rows[0].any():
            raise ValueError(f"player {player}'s sink, member 0, never learns: its row must be 0.")
        for member in range(1, len(rows)):
            row = rows[member]
            if not (np.isfinite(row).all() and (row >= 0).all() and abs(row.sum() - 1) <= _ROUNDING):
                raise ValueError(f"row {member} of player {player}'s interaction graph is no distribution.")
            if not plays_itself and row[member] >= 1 - _ROUNDING:
                raise ValueError(
                    f"member {member} of player {player} trains against itself only: give it another member, "
                    "or use the graph self_play."
                )


def merge_rows(graph: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns the graph with each row replaced by the first one that agrees with it.

    Args:
      graph: `[P, N, N]`.
      tolerance: rows agree if the sum of their differences is at most this.
    """
    return np.stack([rows[first_of_same(rows, tolerance)] for rows in graph])


def first_of_same(rows: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Returns `[N]`: the first member whose row agrees with each member's.

    Args:
      rows: `[N, N]`, one player's rows.
      tolerance: rows agree if the sum of their differences is at most this.
    """
    firsts: list[int] = []
    same = np.zeros(len(rows), int)
    for member, row in enumerate(rows):
        agreeing = [first for first in firsts if np.abs(rows[first] - row).sum() <= tolerance]
        same[member] = agreeing[0] if agreeing else member
        if not agreeing:
            firsts.append(member)
    return same


def effective_size(graph: np.ndarray) -> int:
    """Returns the largest number of different rows that a player has, the sink's included."""
    return max(len(np.unique(first_of_same(rows))) for rows in graph)


def _with_sink(payoffs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns `[P, N, N]`: the same rows for each player, that of the sink 0."""
    rows = rows.copy()
    rows[0] = 0.0
    return np.stack([rows] * len(payoffs))
