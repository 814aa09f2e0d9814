"""Tests of agents.actions: conversions from a policy's output to actions."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import actions
from agents.core import Bounds

_BOUNDS = Bounds(jnp.array([-1.0, 0.0, -0.1]), jnp.array([1.0, 5.0, 0.3]))
_LEGAL = jnp.array([[True, False, True, True], [False, False, True, False]])


def test_illegal_actions_get_exactly_nothing_whatever_their_log_probs() -> None:
    log_probs = jnp.log(jnp.array([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]])).at[0, 1].set(jnp.inf)
    probs = actions.legal_probs(log_probs, _LEGAL)
    np.testing.assert_allclose(probs, [[0.5, 0.0, 0.125, 0.125], [0.0, 0.0, 0.3, 0.0]], rtol=1e-6)


def test_a_share_of_legal_actions_alike_is_mixed_in() -> None:
    probs = jnp.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    mixed = actions.mix_uniform(probs, _LEGAL, 0.3)
    np.testing.assert_allclose(mixed, [[0.8, 0.0, 0.1, 0.1], [0.0, 0.0, 1.0, 0.0]], atol=1e-7)
    np.testing.assert_array_equal(actions.mix_uniform(probs, _LEGAL, 0.0), probs)


def test_draws_follow_their_probabilities_and_never_leave_them() -> None:
    probs = jnp.tile(jnp.array([[0.7, 0.0, 0.3]]), (20_000, 1))
    drawn = np.bincount(actions.draw(jax.random.key(0), probs), minlength=3) / 20_000
    np.testing.assert_allclose(drawn, [0.7, 0.0, 0.3], atol=0.01)
    assert drawn[1] == 0


def test_exploring_replaces_whole_actions_as_often_as_asked() -> None:
    action = jnp.full((20_000, 2), 2.0)
    explored = np.asarray(actions.explore(jax.random.key(0), action, 0.25))
    replaced = explored != 2.0
    np.testing.assert_array_equal(replaced[:, 0], replaced[:, 1])
    assert abs(replaced[:, 0].mean() - 0.25) < 0.01
    assert np.abs(explored[replaced]).max() <= 1.0
    assert abs(explored[replaced].mean()) < 0.02
    np.testing.assert_array_equal(actions.explore(jax.random.key(0), action, 0.0), action)


def test_squashing_undoes_stretching_and_bounds_are_where_they_should_be() -> None:
    squashed = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, size=(50, 3)), jnp.float32)
    stretched = actions.stretch(squashed, _BOUNDS)
    np.testing.assert_allclose(actions.squash(stretched, _BOUNDS), squashed, atol=1e-6)
    for end, bound, middle in ((-1.0, _BOUNDS.low, 0.0), (1.0, _BOUNDS.high, 0.0)):
        np.testing.assert_array_equal(actions.stretch(jnp.full(3, end), _BOUNDS), bound)
        np.testing.assert_array_equal(actions.squash(bound, _BOUNDS), np.full(3, end))
        np.testing.assert_allclose(actions.stretch(jnp.full(3, middle), _BOUNDS), [0.0, 2.5, 0.1])


def test_stretched_actions_never_pass_bounds_that_float32_cannot_divide() -> None:
    rng = np.random.default_rng(0)
    low, high = np.sort(rng.normal(size=(2, 2000)).astype(np.float32), axis=0)
    bounds = Bounds(jnp.asarray(low), jnp.asarray(high))
    unclipped = []
    for action in (-1.0, 1.0, np.nextafter(np.float32(1), np.float32(0))):
        stretched = np.asarray(actions.stretch(jnp.full(2000, action, jnp.float32), bounds))
        assert (stretched >= low).all()
        assert (stretched <= high).all()
        unclipped.append(low + np.float32((action + 1) / 2) * (high - low))
    # Without clipping, rounding carries some of them beyond their bounds, so the test means something.
    assert (np.stack(unclipped) > high).any()
