"""Distillation: losses by hand, draws in their proportions, and what earlier policies keep."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.neupl import distillation
from acme_psro.neupl.distillation import DistillationConfig, Learned, Lesson, Network, Places

CONFIG = DistillationConfig(gradient_steps=200, batch_size=64, learning_rate=0.1, final_learning_rate=0.001)


def bilinear(rows: int, actions: int, contexts: int) -> Network:
    """Logits that are linear in the product of the information state and the context."""

    def apply(params: jax.Array, observation: Any) -> jax.Array:
        seen, context = observation.info_state, observation.context
        return jnp.einsum("bd,bc,dca->ba", seen, context, params)

    return Network(lambda key: 0.01 * jax.random.normal(key, (rows, contexts, actions)), apply)


@pytest.fixture
def places() -> Places:
    """Four policies of one player, of which two are padding, at two states with three and two actions."""
    legal = jnp.array([[True, True, True], [True, False, True]])
    return Places(jnp.zeros(4, jnp.int32), jnp.tile(jnp.arange(2), (4, 1)), jnp.eye(2), legal)


def test_kl_by_hand() -> None:
    target = jnp.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.25, 0.75, 0.0]])
    policy = jnp.array([[0.25, 0.75, 0.0], [0.5, 0.3, 0.2], [0.25, 0.75, 0.0]])
    found = distillation.kl(target, jnp.log(policy))
    first = 0.5 * math.log(2.0) + 0.5 * math.log(2.0 / 3.0)
    np.testing.assert_allclose(found, [first, math.log(5.0), 0.0], rtol=1e-5, atol=1e-7)


def test_the_loss_is_the_sum_over_policies_for_each_policy() -> None:
    """Two new policies and three earlier ones, whose mean KLs are 1 and 2, with a weight of 0.5."""
    config = DistillationConfig(batch_size=10, keeping=0.5)
    weight = distillation.position_weights(2, 3, config)
    kls = np.array([1.0] * 5 + [2.0] * 5)
    assert (weight * kls).sum() == pytest.approx((2 * 1.0 + 0.5 * 3 * 2.0) / 5)
    # Targets that are sure of the first action, and policies whose KLs are those above.
    target = jnp.tile(jnp.array([1.0, 0.0]), (10, 1))
    log_probs = jnp.stack([-jnp.asarray(kls), jnp.zeros(10)], axis=1)
    assert float(distillation.loss(jnp.asarray(weight), target, log_probs)) == pytest.approx(1.0)
    assert distillation.position_weights(2, 0, config)[5:].sum() == 0.0


def test_pairs_are_drawn_by_their_chances_the_new_ones_first() -> None:
    config = DistillationConfig(gradient_steps=2000, batch_size=20)
    chances = np.array([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25], [0.1, 0.0, 0.9]])
    is_new = np.array([False, False, True])
    drawn = distillation.draw_pairs(np.random.default_rng(0), chances, is_new, config)
    assert drawn.shape == (2000, 20)
    frequency = np.bincount(drawn[:, :10].ravel(), minlength=9) / drawn[:, :10].size
    np.testing.assert_allclose(frequency, [0, 0, 0, 0, 0, 0, 0.1, 0, 0.9], atol=0.01)
    frequency = np.bincount(drawn[:, 10:].ravel(), minlength=9) / drawn[:, 10:].size
    np.testing.assert_allclose(frequency, [0.1, 0.4, 0, 0.25, 0.125, 0.125, 0, 0, 0], atol=0.01)
    # Without earlier policies all pairs are of new ones.
    alone = distillation.draw_pairs(np.random.default_rng(0), chances, np.ones(3, bool), config)
    assert set(np.unique(alone)) == {0, 1, 3, 4, 5, 6, 8}


def test_a_new_policy_is_learned_and_an_earlier_one_kept(places: Places) -> None:
    network = bilinear(2, 3, 1 + 3)
    embeddings = jnp.array([[1.0, 0.2, 0.0], [0.2, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    learned = Learned(network.init(jax.random.key(0)), embeddings)
    distil = jax.jit(functools.partial(distillation.distil, network, CONFIG, 1))
    everything = functools.partial(distillation.all_log_probs, network, places)
    even = np.full((4, 2), 0.5)

    def teach(learned: Learned, targets: np.ndarray, num: int) -> Learned:
        is_new = np.arange(num) == num - 1
        drawn = distillation.draw_pairs(np.random.default_rng(num), even[:num], is_new, CONFIG)
        weight = distillation.position_weights(1, num - 1, CONFIG)
        return distil(places, learned, Lesson(jnp.asarray(targets), jnp.asarray(drawn), jnp.asarray(weight)))

    first = np.zeros((4, 2, 3), np.float32)
    first[0] = [[0.0, 1.0, 0.0], [0.7, 0.0, 0.3]]
    before = distillation.kl(jnp.asarray(first[0]), everything(learned, 1)[0])
    learned = teach(learned, first, 1)
    after = distillation.kl(jnp.asarray(first[0]), everything(learned, 1)[0])
    assert (np.asarray(before) > 0.2).sum() == 1 and np.asarray(after).max() < 0.01
    kept = np.exp(everything(learned, 1))
    second = kept.copy()
    second[1] = [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    learned = teach(learned, second, 2)
    found = np.exp(everything(learned, 1))
    np.testing.assert_allclose(found[0], kept[0], atol=0.02)
    np.testing.assert_allclose(found[1], second[1], atol=0.02)
    # Illegal actions stay impossible.
    assert found[:2, 1, 1].max() < 1e-12


def test_without_a_weight_of_earlier_policies_they_are_forgotten(places: Places) -> None:
    """The other side of the test above: it is the KL that keeps them."""
    network = bilinear(2, 3, 1 + 3)
    learned = Learned(network.init(jax.random.key(0)), jnp.tile(jnp.array([[0.5, 0.5, 0.5]]), (4, 1)))
    targets = np.exp(distillation.all_log_probs(network, places, learned, 1))
    targets[1] = [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    shifts = []
    for keeping in (0.0, 1.0):
        config = DistillationConfig(200, 64, 0.1, 0.001, keeping=keeping)
        is_new = np.array([False, True])
        drawn = distillation.draw_pairs(np.random.default_rng(0), np.full((2, 2), 0.5), is_new, config)
        weight = jnp.asarray(distillation.position_weights(1, 1, config))
        lesson = Lesson(jnp.asarray(targets), jnp.asarray(drawn), weight)
        after = distillation.distil(network, config, 1, places, learned, lesson)
        found = np.exp(distillation.all_log_probs(network, places, after, 1))
        shifts.append(np.abs(found[0] - targets[0]).max())
    assert shifts[0] > 0.5 and shifts[1] < 0.05


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gradient_steps": 0}, "gradient_steps must be at least 1, not 0."),
        ({"batch_size": 1}, "batch_size must be at least 2, a new and an old one, not 1."),
        ({"keeping": -1.0}, "keeping must not be negative, not -1.0."),
        ({"learning_rate": math.nan}, "learning_rate must not be negative, not nan."),
        ({"elsewhere": 0.0}, "elsewhere must lie in (0, 1], not 0.0."),
    ],
)
def test_bad_settings_are_refused(change: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        DistillationConfig(**change)  # type: ignore[arg-type]
    assert str(refusal.value) == says
