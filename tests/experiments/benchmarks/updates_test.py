"""Tests of counted operations of updates, and of the experience used to time updates."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import crossq
from experiments.benchmarks.shared.scanned_updates import Experience, make_experience, make_game_experience
from experiments.benchmarks.shared.update_operations import Sizes, count_products, operations, product_rate


def test_operations_are_counted() -> None:
    # One row and one critic: 3x2 + 2x2 + 2x1 = 12 weights, and 2x4 + 4x4 + 4x2 = 32 of the policy.
    sizes = Sizes(2, 1, policy_width=4, batch_size=1, buffer_size=1, num_critics=1, policy_delay=1)
    assert operations(sizes, 2) == 2 * (2 * 3 * 12 + 32 + 3 * 32 + 2 * 12)
    twice = sizes._replace(batch_size=10, num_critics=2, policy_delay=4)
    assert operations(twice, 2) == 20 * (2 * 2 * 3 * 12 + 32 + (3 * 32 + 2 * 2 * 12) / 4)


def test_products_are_counted_where_they_are_needed() -> None:
    left, right = jnp.ones((2, 3)), jnp.ones((3, 5))
    assert count_products(jnp.matmul, left, right) == 2 * 2 * 3 * 5
    assert count_products(lambda a, b: (a @ b, a)[1], left, right) == 0
    assert count_products(jax.jit(lambda a, b: jnp.tanh(a @ b) @ b.T), left, right) == 2 * 60
    # Backwards once more for either side.
    backwards = jax.grad(lambda a, b: jnp.sum(jnp.square(a @ b)), argnums=(0, 1))
    assert count_products(backwards, left, right) == 3 * 60
    assert count_products(jax.vmap(jnp.matmul), jnp.ones((4, 2, 3)), jnp.ones((4, 3, 5))) == 4 * 60

    def repeat(a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, _: (carry, carry @ b), a, length=7)[1]

    assert count_products(repeat, left, right) == 7 * 60

    def now_and_then(due: bool, a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.cond(due, lambda: a @ b, lambda: jnp.zeros((2, 5)))

    assert count_products(now_and_then, True, left, right) == 60
    assert count_products(now_and_then, True, left, right, share_of_dearest=0.25) == 15


@pytest.mark.long
def test_formula_and_count_agree() -> None:
    sizes = Sizes(20, 4, policy_width=256, batch_size=32, buffer_size=100)
    experience = make_experience(sizes)
    config = crossq.CrossQConfig()
    bounds = crossq.Bounds(-jnp.ones(4), jnp.ones(4))
    core = crossq.make_core(crossq.make_networks(jnp.zeros((1, 20)), bounds, config), config)
    batch = experience.batches(np.random.default_rng(0), (32,)).transition()
    state = core.init(jax.random.key(0))
    counted = count_products(core.update, state, batch, share_of_dearest=1 / 3)
    # Inputs are normalised with a learned scale, so that gradients pass through first layers too.
    assert counted == pytest.approx(operations(sizes, 256), rel=1e-9)


@pytest.mark.parametrize("make", [make_experience, make_game_experience])
def test_experience_is_drawn_whole(make: Callable[[Sizes], Experience]) -> None:
    experience = make(Sizes(5, 3, buffer_size=50))
    batch = experience.batches(np.random.default_rng(0), (8,)).transition()
    assert batch.reward.shape == (8,)
    assert {len(leaf) for leaf in jax.tree.leaves(batch.observation)} == {16}
    if make is make_game_experience:
        legal = batch.observation.legal_actions[batch.now]
        assert legal[jnp.arange(8), batch.action].all()
        assert not legal.all()


def test_product_rate_is_of_this_machine() -> None:
    assert 1e6 < product_rate(256, 256)() < 1e15
