"""Losses of PPO, MMD and NashPG by hand on four decisions, the third action of which is illegal."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.networks import masked_log_probs
from agents.self_play import losses
from agents.self_play.losses import Coefficients, Played

_LEGAL = jnp.array([[True, True, False]] * 4)
_NEW = ((0.6, 0.4), (0.6, 0.4), (0.5, 0.5), (0.5, 0.5))
_OLD = ((0.5, 0.5), (0.5, 0.5), (0.25, 0.75), (0.25, 0.75))
_MAGNET = ((0.75, 0.25),) * 4
_VALUE, _TARGET = (0.0, 1.0, 0.5, -1.0), (1.0, 1.0, 0.0, 1.0)


def _log_probs(probs: tuple[tuple[float, float], ...]) -> jax.Array:
    # The illegal action has a logit of its own, which must not matter.
    logits = jnp.array([[math.log(first), math.log(second), 3.0] for first, second in probs])
    return masked_log_probs(logits, _LEGAL)


def _played(**changes: jax.Array | None) -> Played:
    played = Played(
        legal_actions=_LEGAL,
        action=jnp.array([0, 0, 1, 1]),
        log_probs=_log_probs(_OLD),
        taken=jnp.log(jnp.array([0.5, 0.5, 0.75, 0.75])),
        advantage=jnp.array([1.0, -1.0, 2.0, -2.0]),
        target=jnp.array(_TARGET),
        weight=jnp.ones(4),
        magnet=_log_probs(_MAGNET),
    )
    return played._replace(**changes)


# The ratios are 1.2, 1.2, 2/3 and 2/3. With a clip of 0.1, the first gains no more than 1.1 and the last
# loses no less than 0.9 * 2.
_POLICY_LOSS = -(1.1 - 1.2 + 2 / 3 * 2 - 0.9 * 2) / 4
_VALUE_LOSS = (1.0 + 0.0 + 0.25 + 4.0) / 4
_ENTROPY = (-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)) + math.log(2)) / 2
_KL = (0.6 * math.log(1.2) + 0.4 * math.log(0.8) + 0.5 * math.log(2) + 0.5 * math.log(2 / 3)) / 2
_MAGNET_KL = (0.6 * math.log(0.8) + 0.4 * math.log(1.6) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        # PPO.
        (
            Coefficients(0.1, 0.5, 0.05, 0.0, 0.0),
            _POLICY_LOSS + 0.5 * _VALUE_LOSS - 0.05 * _ENTROPY,
        ),
        # MMD.
        (
            Coefficients(0.1, 0.5, 0.05, 0.2, 0.0),
            _POLICY_LOSS + 0.5 * _VALUE_LOSS - 0.05 * _ENTROPY + 0.2 * _KL,
        ),
        # NashPG.
        (
            Coefficients(0.1, 0.5, 0.1, 0.0, 0.3),
            _POLICY_LOSS + 0.5 * _VALUE_LOSS - 0.1 * _ENTROPY + 0.3 * _MAGNET_KL,
        ),
    ],
    ids=["ppo", "mmd", "nash_pg"],
)
def test_loss_equals_its_terms_by_hand(by: Coefficients, expected: float) -> None:
    loss, terms = losses.total(_log_probs(_NEW), jnp.array(_VALUE), _played(), by)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(
        terms, (_POLICY_LOSS, _VALUE_LOSS, _ENTROPY, _KL, _MAGNET_KL), rtol=1e-5, atol=1e-7
    )


def test_without_clip_the_objective_is_the_ratio_times_the_advantage() -> None:
    objective = losses.clipped_objective(_log_probs(_NEW), _played(), math.inf)
    np.testing.assert_allclose(objective, [1.2, -1.2, 4 / 3, -4 / 3], rtol=1e-5)


def test_clipped_decisions_do_not_move_the_policy() -> None:
    def objective(logits: jax.Array) -> jax.Array:
        return losses.clipped_objective(masked_log_probs(logits, _LEGAL), _played(), 0.1).sum()

    gradient = jax.grad(objective)(_log_probs(_NEW))
    moved = np.abs(np.asarray(gradient)).max(axis=1) > 1e-6
    # The first gains from beyond the clip, and the last would gain from going back into it.
    np.testing.assert_array_equal(moved, [False, True, True, False])


def test_decisions_without_weight_do_not_count() -> None:
    by = Coefficients(0.1, 0.5, 0.05, 0.2, 0.3)
    weight = jnp.array([1.0, 1.0, 0.0, 0.0])
    some = losses.total(_log_probs(_NEW), jnp.array(_VALUE), _played(weight=weight), by)
    halves = jax.tree.map(lambda leaf: leaf[:2], (_log_probs(_NEW), jnp.array(_VALUE), _played()))
    np.testing.assert_allclose(some[0], losses.total(*halves, by)[0], rtol=1e-6)


def test_loss_of_no_decisions_is_zero() -> None:
    played = _played(weight=jnp.zeros(4))
    loss, _ = losses.total(_log_probs(_NEW), jnp.array(_VALUE), played, Coefficients(0.1, 1, 1, 1, 1))
    assert float(loss) == 0


def test_kl_is_zero_only_between_equal_policies() -> None:
    new, old = _log_probs(_NEW), _log_probs(_OLD)
    np.testing.assert_allclose(losses.kl(new, new, _LEGAL), 0.0, atol=1e-7)
    assert (np.asarray(losses.kl(new, old, _LEGAL)) > 0).all()


def test_gradients_are_finite_if_a_policy_is_all_but_deterministic() -> None:
    by = Coefficients(0.2, 0.5, 0.05, 0.05, 0.2)

    def loss(logits: jax.Array) -> jax.Array:
        return losses.total(masked_log_probs(logits, _LEGAL), jnp.zeros(4), _played(), by)[0]

    gradient = jax.grad(loss)(jnp.array([[60.0, -60.0, 0.0]] * 4))
    assert np.isfinite(gradient).all()
    # An illegal action never learns.
    np.testing.assert_array_equal(gradient[:, 2], 0.0)


def test_normalised_advantages_have_mean_zero_and_deviation_one() -> None:
    weight = jnp.array([1.0, 1.0, 1.0, 0.0])
    scaled = losses.normalise(jnp.array([1.0, 2.0, 6.0, 100.0]), weight)
    # Mean 3 and deviation sqrt(14 / 3) of those that count.
    np.testing.assert_allclose(scaled, np.array([-2, -1, 3, 0]) / math.sqrt(14 / 3), rtol=1e-5)


def test_a_single_decision_has_a_normalised_advantage_of_zero() -> None:
    np.testing.assert_array_equal(losses.normalise(jnp.array([7.0]), jnp.array([1.0])), [0.0])
    np.testing.assert_array_equal(losses.normalise(jnp.array([7.0]), jnp.array([0.0])), [0.0])
