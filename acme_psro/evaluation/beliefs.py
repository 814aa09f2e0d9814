"""Exact values of best responses on graphs, and with them gains, NashConv and exploitability of mixtures.

Each member of a mixture plays by what it observes; a best responder may remember all that it ever observed
and did. Its information states are the sequences of its own observations and actions. All that matters about
one of them is a *belief*, the probabilities of the pairs of a node and a member that it may have met. The
best value follows by a search over beliefs (see `belief_search`).

Dimensions: `O` observations over all players, `A` actions, `P` players, `K` members of a mixture.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation import belief_memory
from acme_psro.evaluation.belief_costs import make_belief_game
from acme_psro.evaluation.graph_mixtures import (
    Mixture,
    drawn_apart,
    make_mixture,
    mixture_returns,
    others_of,
)
from acme_psro.games.graph import GameGraph
from acme_psro.system import cores

DEFAULT_MAX_GIGABYTES = 4.0

# Information states between two looks at the progress.
_SLICE = 1 << 12


class Progress(NamedTuple):
    """Progress of a search.

    Attributes:
      player: the responder.
      information_states: how many of its information states have been looked at so far.
      share: an estimate of the share of the search that is done, between 0 and 1. It errs on the low side,
        as later moves are often given up at once.
    """

    player: int
    information_states: int
    share: float


OnProgress = Callable[[Progress], None]


class Question(NamedTuple):
    """A best response whose value is sought.

    Attributes:
      player: the responder.
      meet: (largest size of its tables in bytes) -> the mixture of all other players that is met, see
        `acme_psro.evaluation.graph_mixtures`. It is called when the search begins, so that not all mixtures
        are in memory.
    """

    player: int
    meet: Callable[[int], Mixture]


def best_response_value(
    graph: GameGraph,
    player: int,
    tables: np.ndarray,
    weights: np.ndarray,
    *,
    max_gigabytes: float = DEFAULT_MAX_GIGABYTES,
    on_progress: OnProgress | None = None,
) -> float:
    """Computes the expected return of a player's best response with perfect recall to a mixture.

    Args:
      graph: the game.
      player: the responder.
      tables: `[K, O, A]`, policies of all other players. Only their rows count.
      weights: `[K]`, the probabilities with which one of them is drawn for the whole episode, for all others
        together.
      max_gigabytes: the largest size of the arrays that the search needs.
      on_progress: called from time to time, and at the end.

    Returns:
      The value, in the game's utility units.

    Raises:
      MemoryBoundError: the search needs more memory.
      ValueError: there is no such player, or the tables or weights are no mixture of policies on this graph.
    """
    if player not in range(graph.num_players):
        raise ValueError(f"there is no player {player}: it is one of 0 to {graph.num_players - 1}.")
    mixture = make_mixture(graph, others_of(graph, player), tables, weights)
    return _search(graph, player, mixture, int(max_gigabytes * 1e9), on_progress or _no_progress)


def best_response_values(
    graph: GameGraph,
    questions: Sequence[Question],
    *,
    threads: int | None = None,
    max_gigabytes: float = DEFAULT_MAX_GIGABYTES,
    on_progress: OnProgress | None = None,
) -> np.ndarray:
    """Computes the expected returns of several best responses with perfect recall.

    Args:
      graph: the game.
      questions: one for each best response.
      threads: best responses that are computed at the same time; as many as there are cores, unless it is
        given. The result does not depend on it.
      max_gigabytes: the largest size of the arrays that all searches need at a time.
      on_progress: called from time to time, and at the end of each search, from one thread at a time.

    Returns:
      `[n]` float64, in the game's utility units.

    Raises:
      MemoryBoundError: a search needs more memory.
    """
    threads = min(threads or cores.count(), len(questions))
    watch = on_progress or _no_progress
    stopped, one_at_a_time = threading.Event(), threading.Lock()

    def watch_one(progress: Progress) -> None:
        if stopped.is_set():
            raise InterruptedError("the search was stopped.")
        with one_at_a_time:
            watch(progress)

    def respond(question: Question) -> float:
        max_bytes = int(max_gigabytes * 1e9) // threads
        return _search(graph, question.player, question.meet(max_bytes), max_bytes, watch_one)

    with futures.ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(respond, question) for question in questions]
        try:
            first, _ = futures.wait(jobs, return_when=futures.FIRST_EXCEPTION)
        finally:
            # An error, and Ctrl-C too, ends the other searches at their next looks at the progress.
            stopped.set()
            for job in jobs:
                job.cancel()
        for job in first:
            job.result()
        return np.array([job.result() for job in jobs])


def gains(
    graph: GameGraph,
    tables: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    *,
    returns: np.ndarray | None = None,
    threads: int | None = None,
    max_gigabytes: float = DEFAULT_MAX_GIGABYTES,
    on_progress: OnProgress | None = None,
) -> np.ndarray:
    """Computes what each player gains by a best response with perfect recall to the others' mixtures.

    Args:
      graph: the game.
      tables: for each player p its policies `[K_p, O, A]`. Only the player's own rows count.
      weights: for each player `[K_p]`, the probabilities with which it draws one of them for an episode, by
        itself. A responder meets all profiles of the others' policies.
      returns: `[P]`, what the players earn by their mixtures, if it is known already.
      threads: see `best_response_values`, as is what follows.
      max_gigabytes: the largest size of the arrays that all searches need at a time.
      on_progress: called from time to time, and at the end of each search.

    Returns:
      `[P]` float64, the best response's expected return less that of the player's own mixture, in the game's
      utility units; never below 0.

    Raises:
      MemoryBoundError: a search needs more memory.
      ValueError: there is not one mixture a player, or the tables or weights are no mixtures of policies on
        this graph.
    """
    players = range(graph.num_players)
    if len(tables) != len(players) or len(weights) != len(players):
        raise ValueError(
            f"give {len(players)} mixtures, one a player, not {len(tables)} tables and {len(weights)} "
            "weights."
        )
    mixtures = [make_mixture(graph, (player,), tables[player], weights[player]) for player in players]
    values = best_response_values(
        graph,
        [Question(player, functools.partial(drawn_apart, graph, player, mixtures)) for player in players],
        threads=threads,
        max_gigabytes=max_gigabytes,
        on_progress=on_progress,
    )
    present = mixture_returns(graph, mixtures) if returns is None else returns
    # A best response never loses, but rounding may leave a gain just below 0 at an equilibrium.
    return np.maximum(values - present, 0.0)


def nash_conv(graph: GameGraph, tables: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> float:
    """Computes the sum of `gains`, in the game's utility units."""
    return float(gains(graph, tables, weights).sum())


def exploitability(graph: GameGraph, tables: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> float:
    """Computes NashConv divided by the number of players, as in OpenSpiel."""
    return nash_conv(graph, tables, weights) / graph.num_players


def _no_progress(progress: Progress) -> None:
    """Ignores the progress of a search."""


def _search(
    graph: GameGraph, player: int, mixture: Mixture, max_bytes: int, on_progress: OnProgress
) -> float:
    """Returns the value of a player's best response to a mixture of the other players."""
    # Numba takes a second to load, which nothing else needs.
    from acme_psro.evaluation import belief_search

    game = make_belief_game(graph, player, mixture.tables, mixture.weights, max_bytes)
    scratch, search = belief_memory.make_scratch(game), belief_memory.begin_search(game)
    belief_search.push(game, search, 0, np.inf)
    while (answer := belief_search.advance(game, scratch, search, _SLICE)) != belief_memory.DONE:
        if answer == belief_memory.FULL:
            search = belief_memory.grow(search, max_bytes // 2)
        else:
            on_progress(Progress(player, _visited(search), belief_memory.share_done(search)))
    on_progress(Progress(player, _visited(search), 1.0))
    return game.full_value - float(search.real[0, belief_memory.BEST])


def _visited(search: belief_memory.Search) -> int:
    # The place before the root is no information state.
    return int(search.state[belief_memory.VISITED]) - 1
