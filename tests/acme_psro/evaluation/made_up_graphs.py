"""Small graphs that tests make up, and policies on them."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import CHANCE, NO_INFOSET, TERMINAL

# A move: the node behind it, the probability if chance makes it, and what it pays player 0.
Move = tuple[int, float, float]
# A node: its mover, the row of what the mover observes, and its moves.
Node = tuple[int, int, list[Move]]
END: Node = (TERMINAL, NO_INFOSET, [])


def make_graph(nodes: Sequence[Node]) -> GameGraph:
    """Makes an acyclic zero-sum graph; rows of player 0 come before those of player 1."""
    moves = [move for _, _, each in nodes for move in each]
    counts = np.array([len(each) for _, _, each in nodes], np.int32)
    rows = {row: (player, len(each)) for player, row, each in nodes if player >= 0}
    legal = np.zeros((len(rows), max(num for _, num in rows.values())), bool)
    for row, (_, num) in rows.items():
        legal[row, :num] = True
    pays = np.array([pay for _, _, pay in moves], np.float64)
    return GameGraph(
        game_string="made_up",
        num_players=2,
        player=np.array([player for player, _, _ in nodes], np.int8),
        observation=np.array([row for _, row, _ in nodes], np.int32),
        first_edge=np.where(counts > 0, np.cumsum(counts) - counts, 0).astype(np.int32),
        num_children=counts,
        successor=np.array([node for node, _, _ in moves], np.int32),
        probability=np.array([probability for _, probability, _ in moves]),
        reward=np.stack([pays, -pays], axis=1),
        legal_actions=legal,
        info_state=np.eye(len(rows), dtype=np.float32),
        keys=tuple(f"row {row}" for row in range(len(rows))),
        observation_offsets=np.array([0, sum(player == 0 for player, _ in rows.values()), len(rows)]),
        max_moves=len(nodes),
        is_cyclic=False,
    )


def make_cyclic(graph: GameGraph, max_moves: int) -> GameGraph:
    """Returns the graph with episodes that end after so many moves."""
    return dataclasses.replace(graph, is_cyclic=True, max_moves=max_moves)


def random_graph(seed: int, cyclic: bool = False) -> GameGraph:
    """Returns a graph of 24 nodes with 8 observations; if it is cyclic, episodes have 9 moves at most."""
    rng = np.random.default_rng(seed)
    rows = [NO_INFOSET] * 4 + list(range(8)) * 2
    nodes: list[Node] = []
    for node, row in enumerate(rng.permutation(rows).tolist()):
        player = CHANCE if row == NO_INFOSET else row // 4
        size = 2 + row % 2
        # Short ways make long episodes.
        back = cyclic and node > 7
        behind = rng.integers(0 if back else node + 1, 24 if back else min(node + 6, 24), size=size)
        chances = rng.dirichlet(np.ones(size)) if player == CHANCE else np.ones(size)
        pays = rng.integers(-2, 3, size=size)
        nodes.append((player, row, list(zip(behind.tolist(), chances.tolist(), pays.tolist(), strict=True))))
    graph = make_graph([*nodes, *[END] * 4])
    return make_cyclic(graph, 9) if cyclic else graph


def random_tables(legal: np.ndarray, members: int, seed: int, unused: float = 0.0) -> np.ndarray:
    """Returns random policies `[members, O, A]` that never take a share of the legal actions."""
    rng = np.random.default_rng(seed)
    shape = (members, *legal.shape)
    weights = rng.exponential(size=shape) * legal * (rng.random(shape) >= unused)
    first = np.cumsum(legal, axis=1) * legal == 1
    weights = np.where(weights.sum(axis=2, keepdims=True) > 0, weights, first)
    return weights / weights.sum(axis=2, keepdims=True)


def guess_the_coin() -> GameGraph:
    """Chance tosses a coin. Player 1 sees it and says left or right. Player 0 hears that and guesses."""
    right_on_heads, right_on_tails = [(7, 1.0, 1.0), (7, 1.0, 0.0)], [(7, 1.0, 0.0), (7, 1.0, 1.0)]
    return make_graph(
        [
            (CHANCE, NO_INFOSET, [(1, 0.5, 0.0), (2, 0.5, 0.0)]),
            (1, 2, [(3, 1.0, 0.0), (4, 1.0, 0.0)]),
            (1, 3, [(5, 1.0, 0.0), (6, 1.0, 0.0)]),
            (0, 0, right_on_heads),
            (0, 1, right_on_heads),
            (0, 0, right_on_tails),
            (0, 1, right_on_tails),
            END,
        ]
    )


def hide_twice() -> GameGraph:
    """Player 1 hides a thing left or right, twice. Player 0 guesses, and the second time knows its success.

    Nodes of equal success are merged, whatever was guessed. Player 1 observes nothing at all.
    """
    right_on_left, right_on_right = [(3, 1.0, 1.0), (4, 1.0, 0.0)], [(4, 1.0, 0.0), (3, 1.0, 1.0)]
    last_on_left, last_on_right = [(9, 1.0, 1.0), (9, 1.0, 0.0)], [(9, 1.0, 0.0), (9, 1.0, 1.0)]
    return make_graph(
        [
            (1, 3, [(1, 1.0, 0.0), (2, 1.0, 0.0)]),
            (0, 0, right_on_left),
            (0, 0, right_on_right),
            (1, 3, [(5, 1.0, 0.0), (6, 1.0, 0.0)]),
            (1, 3, [(7, 1.0, 0.0), (8, 1.0, 0.0)]),
            (0, 1, last_on_left),
            (0, 1, last_on_right),
            (0, 2, last_on_left),
            (0, 2, last_on_right),
            END,
        ]
    )


def wait_or_take() -> GameGraph:
    """Player 1 may let moves pass before player 0 comes, which takes 1, or waits for player 1 to pay 2.

    An episode has three moves at most, and player 0 does not know how many have passed.
    """
    graph = make_graph(
        [
            (1, 1, [(1, 1.0, 0.0), (0, 1.0, 0.0)]),
            (0, 0, [(3, 1.0, 1.0), (2, 1.0, 0.0)]),
            (1, 2, [(3, 1.0, 2.0), (0, 1.0, 0.0)]),
            END,
        ]
    )
    return make_cyclic(graph, 3)
