"""Memory of a search over beliefs: arrays that its compiled functions write, and their sizes.

Dimensions: `M` places, `K` members, `B` observations of the responder, see `belief_costs`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.evaluation.belief_costs import OTHER, OWN, BeliefGame
from acme_psro.evaluation.belief_levels import MemoryBoundError

# Answers of `belief_search.advance`.
DONE, PAUSED, FULL = range(3)
# Entries of `Search.state`: the belief at work (-1 at the end), the sizes of the stack, and beliefs so far.
DEPTH, ENTRIES, BELIEFS, VISITED = range(4)
# Columns of `Search.whole`: the belief, the number of its moves, the position of the move at hand in order of
# cost, the next and the end of the beliefs behind this move, and the sizes of the stack before it.
BELIEF, MOVES, POSITION, NEXT, END, KEPT_ENTRIES, KEPT_BELIEFS = range(7)
# Columns of `Search.real`: the least cost of a move so far, the cost from which on the belief does not
# matter, and what is known of the cost of the move at hand.
BEST, LIMIT, PARTIAL = range(3)
# Entries of `Scratch.counts`: places that are passed and found, and the first and last level to pass.
PASSED, FOUND, LEVEL, LAST_LEVEL = range(4)

_FIRST_ENTRIES = 1 << 10


class Scratch(NamedTuple):
    """Memory of one expansion. Between expansions all entries of the first three are -1.

    Attributes:
      position: `[M + 1]` int32, position of a place among those that are passed or found.
      belief: `[B]` int32, the belief of an observation.
      waiting: `[levels]` int32, the first position of a level.
      passed_place: `[p]` int32, places of chance and other players.
      passed_after: `[p]` int32, the next position of the same level.
      passed_weight: `[p, K]` float64.
      found_place: `[m]` int32, places of the responder.
      found_weight: `[m, K]` float64.
      moving: `[K]` float64, weights on their way to the next place.
      counts: `[4]` int64, see the constants.
    """

    position: np.ndarray
    belief: np.ndarray
    waiting: np.ndarray
    passed_place: np.ndarray
    passed_after: np.ndarray
    passed_weight: np.ndarray
    found_place: np.ndarray
    found_weight: np.ndarray
    moving: np.ndarray
    counts: np.ndarray


class Search(NamedTuple):
    """Beliefs that are still needed, in the order in which they were found, and those that are at work.

    Attributes:
      place: `[entries]` int32, a place that the responder may be at.
      weight: `[entries, K]` float64, its weights.
      first: `[beliefs]` int64, the first entry of a belief.
      end: `[beliefs]` int64, the entry after its last one.
      least: `[beliefs]` float64, the least cost of its moves.
      cost: `[beliefs, moves]` float64, what its moves cost at once.
      whole: `[depth, 7]` int64, see the constants.
      real: `[depth, 3]` float64, see the constants.
      order: `[depth, moves]` int64, moves in ascending order of cost.
      state: `[4]` int64, see the constants.
    """

    place: np.ndarray
    weight: np.ndarray
    first: np.ndarray
    end: np.ndarray
    least: np.ndarray
    cost: np.ndarray
    whole: np.ndarray
    real: np.ndarray
    order: np.ndarray
    state: np.ndarray


def make_scratch(game: BeliefGame) -> Scratch:
    """Allocates the memory of expansions, which is enough for any."""
    members, observations, levels = len(game.prior), game.sizes[0], game.sizes[1]
    kinds = np.bincount(game.about[:, 0], minlength=3)
    own, passed = int(kinds[OWN]), int(kinds[OTHER])
    return Scratch(
        position=np.full(len(game.about), -1, np.int32),
        belief=np.full(observations, -1, np.int32),
        waiting=np.full(levels, -1, np.int32),
        passed_place=np.zeros(passed, np.int32),
        passed_after=np.zeros(passed, np.int32),
        passed_weight=np.zeros((passed, members)),
        found_place=np.zeros(own, np.int32),
        found_weight=np.zeros((own, members)),
        moving=np.zeros(members),
        counts=np.zeros(4, np.int64),
    )


def begin_search(game: BeliefGame) -> Search:
    """Returns a search that is about to begin, with the place before the root as its only belief."""
    members, depth, moves = len(game.prior), int(game.sizes[1]) + 2, int(game.sizes[2])
    entries = _FIRST_ENTRIES
    search = Search(
        place=np.zeros(entries, np.int32),
        weight=np.zeros((entries, members)),
        first=np.zeros(entries, np.int64),
        end=np.zeros(entries, np.int64),
        least=np.zeros(entries),
        cost=np.zeros((entries, moves)),
        whole=np.zeros((depth, 7), np.int64),
        real=np.zeros((depth, 3)),
        order=np.zeros((depth, moves), np.int64),
        state=np.array([-1, 1, 1, 0], np.int64),
    )
    search.place[0], search.weight[0], search.end[0] = len(game.about) - 1, game.prior, 1
    return search


def grow(search: Search, max_bytes: int) -> Search:
    """Returns the search with twice the stack.

    Raises:
      MemoryBoundError: it would be larger than so many bytes.
    """
    if 2 * sum(array.nbytes for array in search[:6]) > max_bytes:
        raise MemoryBoundError(
            f"the search has {search.state[ENTRIES]:,} places to remember, and the memory bound allows no "
            "more: raise max_gigabytes, or evaluate mixtures of fewer members."
        )
    return search._replace(
        place=_twice(search.place),
        weight=_twice(search.weight),
        first=_twice(search.first),
        end=_twice(search.end),
        least=_twice(search.least),
        cost=_twice(search.cost),
    )


def _twice(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array)])


def share_done(search: Search) -> float:
    """Returns an estimate of the share of a paused search that is done, as if all moves took equally long."""
    share, width, top = 0.0, 1.0, int(search.state[DEPTH])
    for depth in range(top + 1):
        _, moves, position, coming, end, _, kept = map(int, search.whole[depth])
        width /= moves
        share += width * position
        weights = [search.weight[search.first[at] : search.end[at]].sum() for at in range(kept, end)]
        # The belief before the coming one is at work, but for the last belief, behind which none is yet.
        done = coming - kept - (depth < top)
        share += width * sum(weights[:done]) / sum(weights)
        width *= weights[done] / sum(weights)
    return share
