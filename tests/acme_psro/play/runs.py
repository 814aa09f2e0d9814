"""Small run directories, made by hand: policies are random tables, so that nothing is trained."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.meta_game.on_graph import GraphMetaGame
from acme_psro.policies import decoders, stored
from acme_psro.policies.meta_strategy import JointStrategy, MetaStrategy, ProductStrategy
from acme_psro.policies.on_graph import make_graph_policy
from acme_psro.policies.tabular import Policy, Population, make_policy
from acme_psro.psro.loop import PSROState
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config

PRODUCT = ProductStrategy((np.array([0.25, 0.75]), np.array([0.5, 0.5])))
# The second players' policies are those of the first: no product of marginals plays like this.
JOINT = JointStrategy(np.array([[0, 0, 0], [1, 1, 1]]), np.array([0.25, 0.75]))


def random_policy(tree: GameTree, player: int, seed: int) -> Policy:
    """Returns a policy with full support."""
    legal = tree.legal_actions[tree.infosets_of(player)]
    weights = np.random.default_rng([player, seed]).exponential(size=legal.shape) * legal
    return make_policy(tree, player, weights / weights.sum(axis=1, keepdims=True))


def pure_policy(tree: GameTree, player: int, last: bool) -> Policy:
    """Returns the policy that always takes the first legal action, or the last one."""
    legal = tree.legal_actions[tree.infosets_of(player)]
    table = np.zeros(legal.shape)
    for row, allowed in zip(table, legal, strict=True):
        row[np.flatnonzero(allowed)[-1 if last else 0]] = 1.0
    return make_policy(tree, player, table)


def pure_populations(tree: GameTree) -> tuple[Population, ...]:
    """Returns two policies a player: the one takes first actions, the other last ones."""
    return tuple(
        tuple(pure_policy(tree, player, last) for last in (False, True)) for player in range(tree.num_players)
    )


def write_tree_run(
    directory: pathlib.Path,
    game: str,
    strategy: MetaStrategy,
    populations: Sequence[Population] | None = None,
) -> GameTree:
    """Writes a run of a compiled game with two policies a player, random ones by default."""
    tree = compile_game(game)
    made = tuple(populations or ()) or tuple(
        tuple(random_policy(tree, player, seed) for seed in range(2)) for player in range(tree.num_players)
    )
    payoffs = ExactMetaGame(tree).extend(made, None)
    record = Record(PSROState(made, payoffs, strategy, iteration=1), [{"iteration": 1}], [strategy])
    write_config(directory, {"game": game, "oracle": "exact"})
    checkpoint.save(directory / "checkpoints", record, formats.of_tree(tree))
    return tree


def write_graph_run(directory: pathlib.Path, graph: GameGraph, max_nodes: int) -> None:
    """Writes a run on a graph, whose tree has more than `max_nodes` nodes, with the strategy `PRODUCT`."""
    rng = np.random.default_rng(0)
    populations = []
    for player in range(graph.num_players):
        legal = graph.legal_actions[graph.rows_of(player)]
        tables = [rng.exponential(size=legal.shape) * legal for _ in range(2)]
        populations.append(
            tuple(make_graph_policy(graph, player, table / table.sum(1, keepdims=True)) for table in tables)
        )
    payoffs = GraphMetaGame(graph).extend(tuple(populations), None)
    state = PSROState(tuple(populations), payoffs, PRODUCT, iteration=1)
    record = Record(state, [{"iteration": 1}], [PRODUCT])
    config = {"game": "kuhn_poker", "oracle": "device", "max_nodes": max_nodes}
    write_config(directory, config)
    checkpoint.save(directory / "checkpoints", record, formats.of_graph(graph))


def write_sampled_run(directory: pathlib.Path, strategy: ProductStrategy = PRODUCT) -> SampledPayoffs:
    """Writes a sampled run of Kuhn poker with two random policies a player; returns its payoffs."""
    tree = compile_game("kuhn_poker")
    populations = tuple(
        tuple(
            stored.write_file(
                directory / "made" / f"{player}_{seed}.npz",
                decoders.from_tree_policy(tree, player, random_policy(tree, player, seed)),
            )
            for seed in range(2)
        )
        for player in range(2)
    )
    tables = tuple(tuple(random_policy(tree, player, seed) for seed in range(2)) for player in range(2))
    mean = ExactMetaGame(tree).extend(tables, None)
    payoffs = SampledPayoffs(mean, np.full((2, 2), 100), np.full((2, 2, 2), 0.1))
    record = Record(PSROState(populations, payoffs, strategy, iteration=1), [{"iteration": 1}], [strategy])
    write_config(directory, {"game": "kuhn_poker", "oracle": "launchpad", "payoffs": "sampled"})
    checkpoint.save(directory / "checkpoints", record, formats.of_files(tree.game_string))
    return payoffs
