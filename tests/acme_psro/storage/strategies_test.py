"""Meta-strategies of a run come back from its checkpoints, whatever their kind."""

import dataclasses
import pathlib

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.policies.meta_strategy import BehaviouralStrategy, MetaStrategy, ProductStrategy
from acme_psro.psro import loop, meta_solving
from acme_psro.psro.outside import split_table
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Record


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker")


def _random(tree: GameTree, seed: int) -> BehaviouralStrategy:
    weights = np.random.default_rng(seed).random(tree.legal_actions.shape) * tree.legal_actions
    return split_table(tree, weights / weights.sum(axis=1, keepdims=True))


def _record(tree: GameTree, strategies: list[MetaStrategy]) -> Record:
    meta_game = ExactMetaGame(tree)
    state = loop.initialise(meta_game, meta_solving.make_loop(meta_game, get_solver("nash")))
    state = dataclasses.replace(state, meta_strategy=strategies[-1], iteration=len(strategies) - 1)
    return Record(state, [{"iteration": float(row)} for row in range(len(strategies))], strategies)


def _restore(tree: GameTree, directory: pathlib.Path) -> Record:
    return checkpoint.restore(directory, formats.of_tree(tree), pytest.fail)


def test_policies_from_outside_of_the_populations_come_back_beside_marginals(
    tmp_path: pathlib.Path, tree: GameTree
) -> None:
    marginals = ProductStrategy((np.ones(1), np.ones(1)))
    strategies: list[MetaStrategy] = [_random(tree, 0), marginals, _random(tree, 2)]
    checkpoint.save(tmp_path, _record(tree, strategies), formats.of_tree(tree))
    restored = _restore(tree, tmp_path).meta_strategies
    assert [type(each) for each in restored] == [type(each) for each in strategies]
    for row in (0, 2):
        for one, other in zip(restored[row].tables, strategies[row].tables, strict=True):
            np.testing.assert_array_equal(one, other)


def test_each_is_written_once(tmp_path: pathlib.Path, tree: GameTree) -> None:
    strategies: list[MetaStrategy] = [_random(tree, seed) for seed in range(3)]
    checkpoint.save(tmp_path, _record(tree, strategies[:2]), formats.of_tree(tree))
    files = sorted((tmp_path / "strategies").iterdir())
    before = [path.stat().st_mtime_ns for path in files]
    assert [path.name for path in files] == ["strategy_00000.npz", "strategy_00001.npz"]
    checkpoint.save(tmp_path, _record(tree, strategies), formats.of_tree(tree))
    assert [path.stat().st_mtime_ns for path in files] == before


def test_a_damaged_one_gives_way_to_the_checkpoint_before(tmp_path: pathlib.Path, tree: GameTree) -> None:
    strategies: list[MetaStrategy] = [_random(tree, seed) for seed in range(3)]
    form = formats.of_tree(tree)
    for rows in (1, 2, 3):
        checkpoint.save(tmp_path, _record(tree, strategies[:rows]), form)
    damaged = tmp_path / "strategies" / "strategy_00002.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    warnings: list[str] = []
    restored = checkpoint.restore(tmp_path, form, warnings.append)
    assert restored.state.iteration == 1
    assert len(warnings) == 1 and "strategy_00002.npz" in warnings[0]
    checkpoint.prune(tmp_path, restored)
    assert not damaged.exists()
    checkpoint.save(tmp_path, _record(tree, strategies), form)
    assert _restore(tree, tmp_path).state.iteration == 2
