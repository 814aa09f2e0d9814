"""A game against a fixed mixture as a responder's search sees it: what each of its moves costs.

If the responder saw everything, the drawn member included, its value U at each place would follow by one
backward sweep. A responder that sees only its own observations falls short of U by what its moves cost: a
move costs U(place) - (reward + U(place behind the move)), which is never negative. Moves of chance and of
others cost nothing. So the value of a best response is U(root) less the least expected cost. Rewards are no
longer needed, and the cost of some moves bounds from below the cost of any way to go on.

A place is *settled* if no move of the responder from there on costs anything. It needs no search.

Dimensions: `M` places (see `belief_levels`), `K` members, `R` moves of the responder, `J` moves of others,
`B` observations of the responder.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.evaluation.belief_levels import Levels, make_levels
from acme_psro.games.graph import GameGraph

# Kinds of places, in the first column of `BeliefGame.about`: decisions of the responder, moves of chance or
# others, and places behind which no move costs anything.
OWN, OTHER, SETTLED = range(3)
# Costs below this, relative to the largest value, come from rounding.
_ROUNDING = 1e-14


class BeliefGame(NamedTuple):
    """Arrays of the search.

    Attributes:
      about: `[M + 1, 4]` int32: kind; observation if the kind is `OWN`, else level; first move; number of
        moves. The last row is a place before the root, with one move of the responder that leads there.
      own_successor: `[R]` int32, the place behind a move of the responder, or -1 if it is settled.
      own_cost: `[R, K]` float64, the move's cost against each member.
      passed_successor: `[J]` int32, the place behind a move of chance or another player. Moves to settled
        places are left out.
      passed_probability: `[J, K]` float64, the move's probability against each member.
      prior: `[K]` float64, weights of the members.
      full_value: the responder's value if it saw everything.
      sizes: `[3]` int64: observations `B`, with that of the place before the root; levels; the largest number
        of the responder's moves at a place.
    """

    about: np.ndarray
    own_successor: np.ndarray
    own_cost: np.ndarray
    passed_successor: np.ndarray
    passed_probability: np.ndarray
    prior: np.ndarray
    full_value: float
    sizes: np.ndarray


class _Moves(NamedTuple):
    """Moves of some places, in order of levels.

    Attributes:
      place: `[n]`, the places, all of which have moves.
      first: `[n + 1]`, offsets of their moves.
      offsets: `[levels + 1]`, the places of level l are `offsets[l]:offsets[l + 1]`.
      edge: `[m]`, the graph's edges.
      successor: `[m]`, the places behind the moves.
    """

    place: np.ndarray
    first: np.ndarray
    offsets: np.ndarray
    edge: np.ndarray
    successor: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """The place of each move, `[m]`."""
        return np.repeat(self.place, np.diff(self.first))


def make_belief_game(
    graph: GameGraph, player: int, tables: np.ndarray, weights: np.ndarray, max_bytes: int
) -> BeliefGame:
    """Prepares the search for a best response.

    Args:
      graph: the game.
      player: the responder.
      tables: `[K, O, A]`, policies of all other players.
      weights: `[K]`, their positive probabilities.
      max_bytes: the largest size of the arrays.

    Raises:
      ValueError: the arrays would be larger.
    """
    decided = graph.entry >= 0
    decided &= graph.player[graph.source] != player
    live = np.where(graph.entry < 0, graph.probability > 0, True)
    live[decided] = tables.any(axis=0).ravel()[graph.entry[decided]]
    # Values, costs and probabilities are about six numbers a move and member.
    levels = make_levels(graph, live, max_bytes // (48 * len(weights) + 100))
    is_own = graph.player[levels.node] == player
    own, passed = _moves(levels, is_own), _moves(levels, ~is_own)
    probability = np.repeat(graph.probability[passed.edge, None], len(weights), axis=1)
    chosen = np.flatnonzero(decided[passed.edge])
    probability[chosen] = tables.reshape(len(weights), -1)[:, graph.entry[passed.edge[chosen]]].T
    return _assemble(graph, player, levels, own, passed, probability, weights)


def _moves(levels: Levels, chosen: np.ndarray) -> _Moves:
    """Returns the moves of the chosen places, `[M]` bool, of which those without moves are left out."""
    counts = np.diff(levels.first)
    place = np.flatnonzero(chosen & (counts > 0))
    first = np.concatenate([[0], np.cumsum(counts[place])])
    moves = np.arange(first[-1]) + np.repeat(levels.first[place] - first[:-1], counts[place])
    offsets = np.searchsorted(levels.level[place], np.arange(levels.level[-1] + 2))
    return _Moves(place, first, offsets, levels.edge[moves], levels.successor[moves])


def _assemble(
    graph: GameGraph,
    player: int,
    levels: Levels,
    own: _Moves,
    passed: _Moves,
    probability: np.ndarray,
    weights: np.ndarray,
) -> BeliefGame:
    size, rows = len(levels.node), graph.observations_of(player)
    pays = graph.reward[own.edge, player, None], graph.reward[passed.edge, player, None]
    values = _sweep(size, own, passed, pays, probability)
    cost = values[own.owner] - (pays[0] + values[own.successor])
    cost[cost < _ROUNDING * max(np.abs(values).max(), 1.0)] = 0.0
    settled = ~_sweep(size, own, passed, (cost, np.zeros_like(pays[1])), probability).any(axis=1)
    kept = ~settled[passed.successor]
    first = np.concatenate([[0], np.cumsum(kept)])[passed.first]
    about = np.zeros((size + 1, 4), np.int32)
    about[:size, 0] = SETTLED
    observed = graph.observation[levels.node[own.place]] - rows.start
    about[own.place] = _columns(OWN, observed, own.first)
    about[passed.place] = _columns(OTHER, levels.level[passed.place], first)
    about[size] = OWN, rows.stop - rows.start, len(own.successor), 1
    behind = np.append(np.where(settled[own.successor], -1, own.successor), -1 if settled[0] else 0)
    most_moves = int(np.diff(own.first).max(initial=1))
    return BeliefGame(
        about=about,
        own_successor=behind.astype(np.int32),
        own_cost=np.concatenate([cost, np.zeros((1, len(weights)))]),
        passed_successor=passed.successor[kept].astype(np.int32),
        passed_probability=probability[kept],
        prior=weights,
        full_value=float(values[0] @ weights),
        sizes=np.array([rows.stop - rows.start + 1, levels.level[-1] + 1, most_moves]),
    )


def _columns(kind: int, second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Returns rows of `BeliefGame.about`, given the second column and the offsets of the moves."""
    return np.stack([np.full_like(second, kind), second, first[:-1], np.diff(first)], axis=1)


def _sweep(
    size: int, own: _Moves, passed: _Moves, pays: tuple[np.ndarray, np.ndarray], probability: np.ndarray
) -> np.ndarray:
    """Computes what is paid at most from each place on if the responder sees everything.

    Args:
      size: `M`.
      own: the responder's moves.
      passed: moves of chance and other players.
      pays: what own and other moves pay, `[R, 1]` or `[R, K]`, and `[J, 1]`.
      probability: `[J, K]`.

    Returns:
      `[M, K]`.
    """
    values = np.zeros((size, probability.shape[1]))
    for level in range(len(own.offsets) - 2, -1, -1):
        for moves, pay in zip((own, passed), pays, strict=True):
            begin, end = moves.offsets[level : level + 2]
            if begin == end:
                continue
            part = slice(moves.first[begin], moves.first[end])
            starts = moves.first[begin:end] - moves.first[begin]
            behind = values[moves.successor[part]] + pay[part]
            if moves is own:
                values[moves.place[begin:end]] = np.maximum.reduceat(behind, starts)
            else:
                values[moves.place[begin:end]] = np.add.reduceat(behind * probability[part], starts)
    return values
