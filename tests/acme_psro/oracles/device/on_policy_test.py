"""Best responses of agents that learn on policy: the oracle counts and measures them like others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.on_graph import GraphMetaGame
from acme_psro.oracles.base import BestResponseTask, Counts
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.graph_oracle import GraphOracle
from acme_psro.oracles.device.on_policy import RolloutAgent
from acme_psro.oracles.device.oracle import DeviceOracle
from acme_psro.oracles.device.training import OpponentProfiles, Trained
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import uniform_policy

_ONCE = DeviceConfig(max_extensions=0)
_KEY = np.array([0, 1], np.uint32)


def _always_last(game: GameTree | GameGraph, config: DeviceConfig) -> Any:
    """Returns a training whose first snapshot is uniform play, and whose second bets and calls always."""
    del config
    uniform = game.legal_actions / game.legal_actions.sum(axis=1, keepdims=True)
    # Kuhn poker's second action is to bet or to call.
    snapshots = jnp.stack([jnp.asarray(uniform), jnp.broadcast_to(jnp.array([0.0, 1.0]), uniform.shape)])

    def train(key: jax.Array, player: jax.Array, opponents: OpponentProfiles) -> Trained:
        work = (jnp.int32(number) for number in (100, 150, 12))
        return Trained(key, snapshots[:, None], *work, {"loss": opponents.weights[0] + player})

    return train


def _stub(**parts: Any) -> RolloutAgent:
    return RolloutAgent(**{"make_train": _always_last} | parts)


def test_on_a_tree_the_snapshot_that_gains_most_is_taken_and_its_work_is_counted() -> None:
    tree = compile_game("kuhn_poker")
    populations = tuple((uniform_policy(tree, player),) for player in range(2))
    mixture = ProductStrategy((np.ones(1), np.ones(1)))
    tasks = [BestResponseTask(player, populations, mixture) for player in range(2)]

    first, second = DeviceOracle(tree, _stub(), _ONCE)(_KEY, tasks)

    # Betting always is a best response to uniform play in the first seat.
    assert first.policy is not None
    np.testing.assert_array_equal(first.policy.table, np.tile([0.0, 1.0], (6, 1)))
    assert first.gain == pytest.approx(first.best_gain) == pytest.approx(0.375)
    assert 0 < second.gain < second.best_gain
    assert first.counts == second.counts == Counts(100, 150, 12)
    assert (first.metrics["loss"], second.metrics["loss"]) == pytest.approx((0.8, 1.8))


def test_on_a_graph_too() -> None:
    graph = graph_of_tree(compile_game("kuhn_poker"))
    meta_game = GraphMetaGame(graph)
    populations = tuple((policy,) for policy in meta_game.first())
    mixture = ProductStrategy((np.ones(1), np.ones(1)))
    payoffs = meta_game.extend(populations, None)
    tasks = [BestResponseTask(player, populations, mixture, payoffs) for player in range(2)]

    first, _ = GraphOracle(graph, _stub(), _ONCE, 1e-9, 3)(_KEY, tasks)

    assert first.policy is not None and first.gain > 0
    assert first.counts == Counts(100, 150, 12)


def test_there_is_no_network_to_begin_in() -> None:
    with pytest.raises(ValueError, match="on policy cannot start from the population"):
        DeviceOracle(compile_game("kuhn_poker"), _stub(), _ONCE, warm_start=True)
