"""Exact values of best responses on graphs, and with them gains, NashConv and exploitability of mixtures.

Each member of a mixture plays by what it observes; a best responder may remember all that it ever observed
and did. Its information states are the sequences of its own observations and actions. All that matters about
one of them is a *belief*, the probabilities of the pairs of a node and a member that it may have met. The
best value follows by a search over beliefs (see `belief_search`).

Dimensions: `O` observations over all players, `A` actions, `P` players, `K` members of a mixture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from acme_psro.evaluation import belief_memory
from acme_psro.evaluation.belief_costs import make_belief_game
from acme_psro.evaluation.graph_mixtures import Mixture, make_mixture, mixture_returns
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
      graph: a game of two players.
      player: the responder.
      tables: `[K, O, A]`, policies of the opponent. Only the opponent's rows count.
      weights: `[K]`, the probabilities with which the opponent draws one of them for the whole episode.
      max_gigabytes: the largest size of the arrays that the search needs.
      on_progress: called from time to time, and at the end.

    Returns:
      The value, in the game's utility units.

    Raises:
      ValueError: the game has more or fewer players, the tables or weights are no mixture of policies on this
        graph, or the search needs more memory.
    """
    check_game(graph)
    if player not in (0, 1):
        raise ValueError(f"there is no player {player}: it is 0 or 1.")
    mixture = make_mixture(graph, 1 - player, tables, weights)
    return _search(graph, player, mixture, int(max_gigabytes * 1e9), on_progress or _no_progress)


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
    """Computes what each player gains by a best response with perfect recall to the other's mixture.

    Args:
      graph: a game of two players.
      tables: for each player p its policies `[K_p, O, A]`. Only the player's own rows count.
      weights: for each player `[K_p]`, the probabilities with which it draws one of them for an episode.
      returns: `[P]`, what the players earn by their mixtures, if it is known already.
      threads: players whose best responses are computed at the same time; as many as there are cores, unless
        it is given. The result does not depend on it.
      max_gigabytes: the largest size of the arrays that all searches need at a time.
      on_progress: called from time to time, and at the end of each search, from one thread at a time.

    Returns:
      `[P]` float64, the best response's expected return less that of the player's own mixture, in the game's
      utility units; never below 0.

    Raises:
      ValueError: the game has more or fewer players, the tables or weights are no mixtures of policies on
        this graph, or a search needs more memory.
    """
    check_game(graph)
    if len(tables) != 2 or len(weights) != 2:
        raise ValueError(
            f"give two mixtures, one a player, not {len(tables)} tables and {len(weights)} weights."
        )
    mixtures = [make_mixture(graph, player, tables[player], weights[player]) for player in range(2)]
    threads = min(threads or cores.count(), 2)
    values = _search_both(graph, mixtures, threads, int(max_gigabytes * 1e9), on_progress or _no_progress)
    present = mixture_returns(graph, (mixtures[0], mixtures[1])) if returns is None else returns
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


def check_game(graph: GameGraph) -> None:
    """Checks that best responses to mixtures are defined for a game.

    Raises:
      ValueError: it does not have two players.
    """
    if graph.num_players != 2:
        raise ValueError(
            f"best responses on graphs are for two players, and {graph.game_string} has {graph.num_players}: "
            "evaluate by simulation, or use a game that compiles to a tree."
        )


def _search_both(
    graph: GameGraph, mixtures: Sequence[Mixture], threads: int, max_bytes: int, on_progress: OnProgress
) -> np.ndarray:
    """Returns the values of both players' best responses, `[2]`."""
    stopped, one_at_a_time = threading.Event(), threading.Lock()

    def watch(progress: Progress) -> None:
        if stopped.is_set():
            raise InterruptedError("the search was stopped.")
        with one_at_a_time:
            on_progress(progress)

    def respond(player: int) -> float:
        return _search(graph, player, mixtures[1 - player], max_bytes // threads, watch)

    with futures.ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(respond, player) for player in range(2)]
        try:
            first, _ = futures.wait(jobs, return_when=futures.FIRST_EXCEPTION)
        finally:
            # An error, and Ctrl-C too, ends the other search at its next look at the progress.
            stopped.set()
        for job in first:
            job.result()
        return np.array([job.result() for job in jobs])


def _search(
    graph: GameGraph, player: int, mixture: Mixture, max_bytes: int, on_progress: OnProgress
) -> float:
    """Returns the value of a player's best response to the other player's mixture."""
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
