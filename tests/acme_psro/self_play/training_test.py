"""Training by self-play: it learns, is traced once, and does not depend on how it is cut into calls."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.self_play.board import make_board
from acme_psro.self_play.training import RolloutConfig, Training, TrainingState, make_training
from agents.self_play import PRESETS, SelfPlayConfig

_TREE = compile_game("kuhn_poker")
_SMALL = SelfPlayConfig(hidden_sizes=(16,), horizon=10_000, learning_rate=1e-3)


@pytest.fixture(scope="module")
def training() -> Training:
    return make_training(make_board(_TREE), _SMALL, RolloutConfig(num_games=16, decisions=8))


def _train(training: Training, seed: int, *calls: int) -> TrainingState:
    state = training.init(jax.random.key(seed))
    for num_updates in calls:
        state, _ = training.train(state, jnp.int32(num_updates))
    return state


def test_calls_can_be_cut_anywhere_and_are_traced_once(training: Training) -> None:
    whole, parts = _train(training, 3, 5), _train(training, 3, 2, 0, 3)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    assert training.train._cache_size() == 1  # type: ignore[attr-defined]
    assert int(whole.agent.updates) == 5
    assert int(whole.agent.decisions) == 5 * 16 * 8


def test_seeds_differ(training: Training) -> None:
    tables = [np.asarray(training.policy(_train(training, seed, 2))) for seed in (0, 1)]
    assert not np.array_equal(*tables)


def test_policy_is_a_distribution_over_legal_actions(training: Training) -> None:
    table = np.asarray(training.policy(_train(training, 0, 1)))
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-5)
    assert not table[~_TREE.legal_actions].any()


def test_totals_are_sums_over_updates(training: Training) -> None:
    state = training.init(jax.random.key(0))
    state, first = training.train(state, jnp.int32(1))
    _, second = training.train(state, jnp.int32(1))
    _, both = training.train(training.init(jax.random.key(0)), jnp.int32(2))
    assert int(both.episodes) == int(first.episodes) + int(second.episodes)
    np.testing.assert_allclose(
        both.metrics["loss"], first.metrics["loss"] + second.metrics["loss"], rtol=1e-6
    )
    assert set(both.metrics) == {"loss", "policy_loss", "value_loss", "entropy", "kl", "magnet_kl"}


@pytest.mark.long
def test_exploitability_falls_in_kuhn_poker() -> None:
    """Uniform play is at 0.4583."""
    config = dataclasses.replace(PRESETS["nash_pg"], hidden_sizes=(32,))
    training = make_training(make_board(_TREE), config, RolloutConfig(num_games=64, decisions=16))
    state = _train(training, 0, 200_000 // (64 * 16))
    table = np.asarray(training.policy(state), np.float64)
    table /= table.sum(axis=1, keepdims=True)
    assert traverse.nash_conv(_TREE, table) / 2 < 0.15


def test_a_rollout_that_does_not_fit_the_minibatches_is_refused() -> None:
    with pytest.raises(ValueError, match="3 games and 5 decisions cannot be split into 4 minibatches"):
        make_training(make_board(_TREE), _SMALL, RolloutConfig(num_games=3, decisions=5))


@pytest.mark.parametrize("name", ["num_games", "decisions"])
def test_empty_rollouts_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        RolloutConfig(**{name: 0})
