"""Memory of a search: it grows when it is full, within its bound, and tells how far the search is."""

import numpy as np
import pytest

from acme_psro.evaluation import belief_memory, belief_search, beliefs
from acme_psro.evaluation.belief_costs import make_belief_game
from acme_psro.evaluation.belief_memory import DONE, PAUSED
from tests.acme_psro.evaluation.made_up_graphs import random_graph, random_tables

WEIGHTS = np.array([0.5, 0.2, 0.3])


def test_stack_that_is_full_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(23, cyclic=True)
    tables = random_tables(graph.legal_actions, 3, 0)
    expected = [beliefs.best_response_value(graph, player, tables, WEIGHTS) for player in range(2)]
    sizes = []
    grow = belief_memory.grow

    def watch(search: belief_memory.Search, max_bytes: int) -> belief_memory.Search:
        sizes.append(len(search.place))
        return grow(search, max_bytes)

    monkeypatch.setattr(belief_memory, "_FIRST_ENTRIES", 1)
    monkeypatch.setattr(belief_memory, "grow", watch)
    found = [beliefs.best_response_value(graph, player, tables, WEIGHTS) for player in range(2)]
    assert found == expected
    assert sizes[:4] == [1, 2, 4, 8]


def test_stack_does_not_grow_beyond_its_bound() -> None:
    graph = random_graph(23)
    game = make_belief_game(graph, 0, random_tables(graph.legal_actions, 3, 0), WEIGHTS, 10**6)
    search = belief_memory.begin_search(game)
    size = sum(array.nbytes for array in search[:6])
    assert len(belief_memory.grow(search, 2 * size).place) == 2 * len(search.place)
    with pytest.raises(ValueError, match="the memory bound allows no more: raise max_gigabytes"):
        belief_memory.grow(search, 2 * size - 1)


def test_scratch_is_as_it_was_between_expansions() -> None:
    graph = random_graph(23, cyclic=True)
    game = make_belief_game(graph, 0, random_tables(graph.legal_actions, 3, 0), WEIGHTS, 10**6)
    scratch, search = belief_memory.make_scratch(game), belief_memory.begin_search(game)
    belief_search.push(game, search, 0, np.inf)
    shares = []
    while belief_search.advance(game, scratch, search, 1) == PAUSED:
        for field in (scratch.position, scratch.belief, scratch.waiting):
            assert (field == -1).all()
        shares.append(belief_memory.share_done(search))
    assert belief_search.advance(game, scratch, search, 1) == DONE
    assert len(shares) > 10
    assert shares == sorted(shares) and 0 <= shares[0] < shares[-1] < 1


def test_share_by_hand() -> None:
    # At the first belief, the second of four moves is at hand, with two beliefs behind it, of which the first
    # is at work; it has a weight of 0.25 of 1. Its first of two moves leads to one belief that has not begun.
    graph = random_graph(23, cyclic=True)
    game = make_belief_game(graph, 0, random_tables(graph.legal_actions, 1, 0), np.ones(1), 10**6)
    search = belief_memory.begin_search(game)
    search.state[belief_memory.DEPTH] = 1
    search.first[:4], search.end[:4] = [0, 1, 2, 3], [1, 2, 3, 4]
    search.weight[:4, 0] = [1, 0.25, 0.75, 0.2]
    search.whole[0] = [0, 4, 1, 2, 3, 1, 1]
    search.whole[1] = [1, 2, 0, 3, 4, 3, 3]
    assert belief_memory.share_done(search) == pytest.approx(0.25)
    # The first belief is done, and of the second one the first move.
    search.whole[0] = [0, 4, 1, 3, 3, 1, 1]
    search.whole[1] = [2, 2, 1, 3, 4, 3, 3]
    assert belief_memory.share_done(search) == pytest.approx(0.25 * (1 + 0.25 + 0.75 / 2))
