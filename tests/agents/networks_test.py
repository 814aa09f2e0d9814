"""Tests of agents.networks: inputs, masked outputs, rows and weights of batches, and bounds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import networks
from agents.core import Bounds, Observation, Transition


def test_illegal_actions_have_probability_zero_and_legal_ones_sum_to_one() -> None:
    logits = jnp.array([[0.0, 100.0, jnp.log(3.0)], [1e4, -1e4, 0.0]])
    legal = jnp.array([[True, False, True], [False, True, False]])
    probs = np.exp(networks.masked_log_probs(logits, legal))
    np.testing.assert_allclose(probs, [[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]], rtol=1e-6)
    assert (probs[~np.asarray(legal)] == 0.0).all()


def test_where_nothing_is_legal_nothing_is_nan_and_neither_are_gradients() -> None:
    def total(logits: jax.Array) -> jax.Array:
        log_probs = networks.masked_log_probs(logits, jnp.zeros((1, 3), bool))
        return jnp.sum(jnp.exp(log_probs) * log_probs)

    value, gradient = jax.value_and_grad(total)(jnp.array([[0.0, 1.0, 2.0]]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.isfinite(networks.masked_log_probs(jnp.zeros((1, 3)), jnp.array([[True, False, False]]))).all()


def test_all_numbers_of_a_tree_are_seen_side_by_side() -> None:
    rows = {"b": jnp.array([[3, 4], [5, 6]]), "a": jnp.array([True, False])}
    flat = networks.flatten((rows, jnp.array([[[0.5]], [[0.25]]])))
    assert flat.dtype == jnp.float32
    np.testing.assert_array_equal(flat, [[1, 3, 4, 0.5], [0, 5, 6, 0.25]])


def test_of_an_observation_in_a_game_all_but_the_legal_actions_is_seen() -> None:
    rows = Observation(jnp.array([[1.0, 2.0]]), jnp.array([[True, False]]), jnp.array([[3.0]]))
    np.testing.assert_array_equal(networks.flatten(rows), [[1, 2, 3]])


def test_rows_are_taken_from_every_array_of_an_observation() -> None:
    rows = {"a": jnp.arange(3), "b": jnp.arange(6).reshape(3, 2)}
    taken = networks.take_rows(rows, jnp.array([2, 0, 2, 2]))
    np.testing.assert_array_equal(taken["a"], [2, 0, 2, 2])
    np.testing.assert_array_equal(taken["b"], [[4, 5], [0, 1], [4, 5], [4, 5]])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(AssertionError):
        networks.masked_log_probs(jnp.zeros((2, 3)), jnp.ones((1, 3), bool))
    with pytest.raises(AssertionError):
        networks.flatten((jnp.zeros((2, 3)), jnp.zeros((1, 3))))
    with pytest.raises(AssertionError):
        networks.shares(jnp.ones((2, 1)))


def test_shares_sum_to_one_wherever_there_is_weight() -> None:
    np.testing.assert_allclose(networks.shares(jnp.array([1.0, 0.0, 3.0])), [0.25, 0.0, 0.75])
    np.testing.assert_array_equal(networks.shares(jnp.zeros(2)), [0.0, 0.0])


def test_decisions_lay_their_weight_on_the_rows_that_they_refer_to() -> None:
    observation = Observation(jnp.zeros((3, 2)), jnp.ones((3, 2), bool), jnp.zeros((3, 0)))
    now, then, weight = jnp.array([2, 0, 2, 0]), jnp.array([0, 1, 0, 0]), jnp.array([1.0, 0.5, 3.0, 0.0])
    zeros = jnp.zeros(4)
    batch = Transition(observation, now, then, zeros.astype(int), zeros, zeros, weight)
    np.testing.assert_array_equal(networks.row_weights(batch, batch.now, weight), [0.5, 0.0, 4.0])
    np.testing.assert_array_equal(networks.row_weights(batch, batch.then, weight), [4.0, 0.5, 0.0])


def test_bounds_in_order_come_back_as_they_are_in_float32() -> None:
    bounds = networks.check_bounds(Bounds(np.array([-1, 0]), np.array([1.0, 2.5])))  # type: ignore[arg-type]
    assert bounds.low.dtype == bounds.high.dtype == jnp.float32
    np.testing.assert_array_equal(bounds.low, [-1.0, 0.0])
    np.testing.assert_array_equal(bounds.high, [1.0, 2.5])


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        ([-1.0, -np.inf], [1.0, 1.0], "finite bounds"),
        ([-1.0, -1.0], [1.0, np.inf], "finite bounds"),
        ([-1.0, np.nan], [1.0, 1.0], "finite bounds"),
        # Not finite in float32.
        ([-1.0, -1e300], [1.0, 1.0], "finite bounds"),
        ([-1.0, -1.0], [1.0], "every number"),
        (-1.0, 1.0, "every number"),
        ([-1.0, 1.0], [1.0, -1.0], "must be below"),
        ([-1.0, 1.0], [1.0, 1.0], "must be below"),
        ([-3e38, -1.0], [3e38, 1.0], "too far apart"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bounds_that_make_no_sense_are_refused(low: Any, high: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        networks.check_bounds(Bounds(np.array(low), np.array(high)))  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)
