"""The search over beliefs finds what a search finds that neither merges places nor gives up moves."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.evaluation import belief_memory, belief_search, beliefs
from acme_psro.evaluation.belief_costs import make_belief_game
from acme_psro.evaluation.belief_memory import DONE, VISITED
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import CHANCE, TERMINAL, GameTree
from tests.acme_psro.evaluation.made_up_graphs import random_graph, random_tables

Table = Callable[[GameTree, int], np.ndarray]
WEIGHTS = np.array([0.5, 0.2, 0.3])

# A node, the number of moves so far, and a weight for each member.
Entry = tuple[int, int, np.ndarray]


def plain_value(graph: GameGraph, player: int, tables: np.ndarray, weights: np.ndarray) -> float:
    """Returns the value of a best response, by looking at every information state and every history."""

    def move(entry: Entry, slot: int, factor: np.ndarray | float) -> tuple[float, Entry]:
        node, moves, weight = entry
        edge = graph.first_edge[node] + slot
        weight = weight * factor
        return weight.sum() * graph.reward[edge, player], (int(graph.successor[edge]), moves + 1, weight)

    def pass_on(entry: Entry, found: dict[int, list[Entry]]) -> float:
        """Adds the responder's next decisions to those found; returns what is paid before."""
        node, moves, weight = entry
        if graph.player[node] == TERMINAL or moves == graph.max_moves or not weight.any():
            return 0.0
        row = graph.observation[node]
        if graph.player[node] == player:
            found[row].append(entry)
            return 0.0
        paid = 0.0
        for slot in range(graph.num_children[node]):
            by_chance = graph.probability[graph.first_edge[node] + slot]
            chosen = by_chance if graph.player[node] == CHANCE else tables[:, row, slot]
            pay, behind = move(entry, slot, chosen)
            paid += pay + pass_on(behind, found)
        return paid

    def best(entries: list[Entry]) -> float:
        values = []
        for slot in range(graph.num_children[entries[0][0]]):
            found: dict[int, list[Entry]] = defaultdict(list)
            value = 0.0
            for entry in entries:
                pay, behind = move(entry, slot, 1.0)
                value += pay + pass_on(behind, found)
            values.append(value + sum(best(each) for each in found.values()))
        return max(values)

    found: dict[int, list[Entry]] = defaultdict(list)
    paid = pass_on((0, 0, weights), found)
    return paid + sum(best(each) for each in found.values())


@pytest.mark.parametrize("unused", [0.0, 0.5])
@pytest.mark.parametrize("cyclic", [False, True])
def test_value_equals_that_of_a_plain_search(cyclic: bool, unused: float) -> None:
    for seed in range(25):
        graph = random_graph(seed, cyclic)
        tables = random_tables(graph.legal_actions, 3, seed, unused)
        for player in range(2):
            found = beliefs.best_response_value(graph, player, tables, WEIGHTS)
            assert found == pytest.approx(plain_value(graph, player, tables, WEIGHTS), abs=1e-12)


def test_code_is_compiled_where_it_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def njit(cache: bool = False, **options: object) -> Callable[[object], object]:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(belief_search.numba, "njit", njit)
    assert belief_search._compiled(len) is len
    assert asked == [True, False]


@pytest.mark.games("leduc")
def test_moves_that_cannot_be_better_are_given_up(case: Any, random_table: Table) -> None:
    graph = graph_of_tree(case.tree)
    for player in range(2):
        game = make_belief_game(graph, player, random_table(case.tree, 0)[None], np.ones(1), 10**9)
        search = belief_memory.begin_search(game)
        belief_search.push(game, search, 0, np.inf)
        assert belief_search.advance(game, belief_memory.make_scratch(game), search, 10**9) == DONE
        # The player has 468 information states, and needs to look at all of them otherwise.
        assert 1 < search.state[VISITED] < 300
