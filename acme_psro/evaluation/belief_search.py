"""Depth-first search for a best response over beliefs, compiled by Numba.

A *belief* is what a responder with perfect recall knows at one of its decisions: the places it may be at, all
with the same observation, each with a weight for every member. The weight is the probability of chance, of
others' moves and of the member, along all ways there that agree with what the responder saw and did.

The search minimises expected cost (see `belief_costs`). A move costs something at once, and leads to one
belief for each observation that may come next. Their least costs are added, after bounds from below are known
for all of them: the least that their own first moves cost. A move is given up when what is known of its cost
reaches the cost of a better one, or what the belief may cost at most to matter for the decisions before it.
No value is lost by that, as in alpha-beta search (Knuth & Moore 1975) and its form for chance (Ballard 1983).

Numba looks for changes in this file alone when it takes machine code from the disk. A change of the tuples or
constants of `belief_memory` and `belief_costs` must touch this file too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from acme_psro.evaluation import belief_memory as memory
from acme_psro.evaluation.belief_costs import OWN, BeliefGame
from acme_psro.evaluation.belief_memory import Scratch, Search

_FunctionT = TypeVar("_FunctionT", bound=Callable[..., object])


def _compiled(function: _FunctionT) -> _FunctionT:
    """Compiles a function on its first call, and keeps the machine code on disk if that is possible."""
    try:
        return cast(_FunctionT, numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:
        # Neither this file's directory nor the user's cache can be written.
        return cast(_FunctionT, numba.njit(nogil=True, error_model="numpy")(function))


@_compiled
def advance(game: BeliefGame, scratch: Scratch, search: Search, most: int) -> int:
    """Continues the search, for so many beliefs at most.

    Returns:
      `DONE`, `PAUSED`, or `FULL` if the stack must grow first.
    """
    state = search.state
    end = state[memory.VISITED] + most
    while state[memory.DEPTH] >= 0:
        depth = state[memory.DEPTH]
        if search.whole[depth, memory.NEXT] < search.whole[depth, memory.END]:
            if state[memory.VISITED] >= end:
                return memory.PAUSED
            _enter(game, search, depth)
        elif not _next_move(search, depth):
            _leave(search, depth)
        elif not _expand(game, scratch, search, depth):
            # The same move is expanded again when the stack has grown.
            search.whole[depth, memory.POSITION] -= 1
            return memory.FULL
    return memory.DONE


@_compiled
def _enter(game: BeliefGame, search: Search, depth: int) -> None:
    """Begins with the next belief behind the move at hand."""
    belief = search.whole[depth, memory.NEXT]
    search.whole[depth, memory.NEXT] += 1
    limit = min(search.real[depth, memory.BEST], search.real[depth, memory.LIMIT])
    push(game, search, belief, limit - (search.real[depth, memory.PARTIAL] - search.least[belief]))


@_compiled
def push(game: BeliefGame, search: Search, belief: int, limit: float) -> None:
    """Puts a belief to work, none of whose moves have been tried."""
    state, cost = search.state, search.cost
    state[memory.DEPTH] += 1
    state[memory.VISITED] += 1
    depth = state[memory.DEPTH]
    whole, order = search.whole[depth], search.order[depth]
    moves = game.about[search.place[search.first[belief]], 3]
    whole[memory.BELIEF], whole[memory.MOVES], whole[memory.POSITION] = belief, moves, -1
    whole[memory.NEXT] = whole[memory.END] = 0
    whole[memory.KEPT_ENTRIES], whole[memory.KEPT_BELIEFS] = state[memory.ENTRIES], state[memory.BELIEFS]
    search.real[depth, memory.BEST], search.real[depth, memory.LIMIT] = np.inf, limit
    for move in range(moves):
        at = move
        while at > 0 and cost[belief, order[at - 1]] > cost[belief, move]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = move


@_compiled
def _next_move(search: Search, depth: int) -> bool:
    """Ends the move at hand, and goes to the next. Returns False if no other move can be better."""
    whole, real = search.whole[depth], search.real[depth]
    if whole[memory.POSITION] >= 0:
        real[memory.BEST] = min(real[memory.BEST], real[memory.PARTIAL])
    search.state[memory.ENTRIES] = whole[memory.KEPT_ENTRIES]
    search.state[memory.BELIEFS] = whole[memory.KEPT_BELIEFS]
    whole[memory.POSITION] += 1
    if whole[memory.POSITION] >= whole[memory.MOVES]:
        return False
    cost = search.cost[whole[memory.BELIEF], search.order[depth, whole[memory.POSITION]]]
    return cost < min(real[memory.BEST], real[memory.LIMIT])


@_compiled
def _leave(search: Search, depth: int) -> None:
    """Ends a belief, and adds its cost to that of the move before it."""
    cost = min(search.real[depth, memory.BEST], search.real[depth, memory.LIMIT])
    search.state[memory.DEPTH] -= 1
    if depth == 0:
        return
    before = search.real[depth - 1]
    before[memory.PARTIAL] += cost - search.least[search.whole[depth, memory.BELIEF]]
    if before[memory.PARTIAL] >= min(before[memory.BEST], before[memory.LIMIT]):
        search.whole[depth - 1, memory.NEXT] = search.whole[depth - 1, memory.END]


@_compiled
def _expand(game: BeliefGame, scratch: Scratch, search: Search, depth: int) -> bool:
    """Finds the beliefs behind a move. Returns False if there is no room for them."""
    whole, real = search.whole[depth], search.real[depth]
    belief = whole[memory.BELIEF]
    move = search.order[depth, whole[memory.POSITION]]
    scratch.counts[memory.PASSED] = scratch.counts[memory.FOUND] = 0
    scratch.counts[memory.LEVEL], scratch.counts[memory.LAST_LEVEL] = len(scratch.waiting), -1
    for entry in range(search.first[belief], search.end[belief]):
        place = game.own_successor[game.about[search.place[entry], 2] + move]
        if place >= 0:
            for member in range(len(scratch.moving)):
                scratch.moving[member] = search.weight[entry, member]
            _arrive(game, scratch, place)
    _pass_on(game, scratch)
    if not _gather(game, scratch, search):
        return False
    partial = search.cost[belief, move]
    for found in range(whole[memory.KEPT_BELIEFS], search.state[memory.BELIEFS]):
        partial += search.least[found]
    real[memory.PARTIAL] = partial
    whole[memory.NEXT], whole[memory.END] = whole[memory.KEPT_BELIEFS], search.state[memory.BELIEFS]
    if partial >= min(real[memory.BEST], real[memory.LIMIT]):
        whole[memory.NEXT] = whole[memory.END]
    return True


@_compiled
def _arrive(game: BeliefGame, scratch: Scratch, place: int) -> None:
    """Adds the moving weights to a place."""
    own = game.about[place, 0] == OWN
    weights = scratch.found_weight if own else scratch.passed_weight
    position = scratch.position[place]
    if position >= 0:
        for member in range(len(scratch.moving)):
            weights[position, member] += scratch.moving[member]
        return
    count = memory.FOUND if own else memory.PASSED
    position = scratch.counts[count]
    scratch.counts[count] += 1
    scratch.position[place] = position
    for member in range(len(scratch.moving)):
        weights[position, member] = scratch.moving[member]
    if own:
        scratch.found_place[position] = place
        return
    level = game.about[place, 1]
    scratch.passed_place[position], scratch.passed_after[position] = place, scratch.waiting[level]
    scratch.waiting[level] = position
    scratch.counts[memory.LEVEL] = min(scratch.counts[memory.LEVEL], level)
    scratch.counts[memory.LAST_LEVEL] = max(scratch.counts[memory.LAST_LEVEL], level)


@_compiled
def _pass_on(game: BeliefGame, scratch: Scratch) -> None:
    """Moves weights through chance and others' decisions, each place once."""
    level = scratch.counts[memory.LEVEL]
    # Moves lead to later levels, so that a place has all of its weight when its level comes.
    while level <= scratch.counts[memory.LAST_LEVEL]:
        position = scratch.waiting[level]
        scratch.waiting[level] = -1
        while position >= 0:
            place = scratch.passed_place[position]
            scratch.position[place] = -1
            begin = game.about[place, 2]
            for move in range(begin, begin + game.about[place, 3]):
                total = 0.0
                for member in range(len(scratch.moving)):
                    weight = scratch.passed_weight[position, member] * game.passed_probability[move, member]
                    scratch.moving[member] = weight
                    total += weight
                if total > 0:
                    _arrive(game, scratch, game.passed_successor[move])
            position = scratch.passed_after[position]
        level += 1


@_compiled
def _gather(game: BeliefGame, scratch: Scratch, search: Search) -> bool:
    """Puts the places that were found on the stack, belief by belief."""
    found = scratch.counts[memory.FOUND]
    first_belief = beliefs = search.state[memory.BELIEFS]
    entries = search.state[memory.ENTRIES]
    for position in range(found):
        scratch.position[scratch.found_place[position]] = -1
    if entries + found > len(search.place) or beliefs + found > len(search.first):
        return False
    for position in range(found):
        observation = game.about[scratch.found_place[position], 1]
        belief = scratch.belief[observation]
        if belief < 0:
            belief = beliefs
            scratch.belief[observation] = belief
            search.end[belief] = 0
            beliefs += 1
        search.end[belief] += 1
    for belief in range(first_belief, beliefs):
        search.first[belief] = entries
        entries += search.end[belief]
        search.end[belief] = search.first[belief]
    for position in range(found):
        place = scratch.found_place[position]
        belief = scratch.belief[game.about[place, 1]]
        entry = search.end[belief]
        search.end[belief] += 1
        search.place[entry] = place
        for member in range(len(scratch.moving)):
            search.weight[entry, member] = scratch.found_weight[position, member]
    for belief in range(first_belief, beliefs):
        scratch.belief[game.about[search.place[search.first[belief]], 1]] = -1
        _count_costs(game, search, belief)
    search.state[memory.ENTRIES], search.state[memory.BELIEFS] = entries, beliefs
    return True


@_compiled
def _count_costs(game: BeliefGame, search: Search, belief: int) -> None:
    """Adds up what the moves of a belief cost at once."""
    begin, end = search.first[belief], search.end[belief]
    moves = game.about[search.place[begin], 3]
    cost = search.cost[belief]
    cost[:moves] = 0.0
    for entry in range(begin, end):
        first = game.about[search.place[entry], 2]
        for move in range(moves):
            for member in range(search.weight.shape[1]):
                cost[move] += search.weight[entry, member] * game.own_cost[first + move, member]
    search.least[belief] = cost[:moves].min()
