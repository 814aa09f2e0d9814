"""Tests of agents.gradients: single gradient steps, and updates that are due now and then."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from agents import gradients

_PARAMS = {"x": jnp.array([1.0, -2.0]), "y": jnp.array(3.0)}


def _loss(params: dict[str, jax.Array], scale: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    value = scale * (jnp.sum(params["x"] ** 2) + params["x"][0] * params["y"])
    return value, {"scale": scale}


def test_one_step_of_gradient_descent_by_hand() -> None:
    optimiser = optax.sgd(0.1)
    update = gradients.make_update(_loss, optimiser)
    step = update(_PARAMS, optimiser.init(_PARAMS), jnp.array(2.0))
    # The loss is 2 (1 + 4 + 3). Its gradients are 2 (2x + [y, 0]) = [10, -8] and 2 x_0 = 2.
    assert float(step.loss) == 16.0
    assert float(step.aux["scale"]) == 2.0
    np.testing.assert_allclose(step.params["x"], [0.0, -1.2], atol=1e-6)
    np.testing.assert_allclose(step.params["y"], 2.8, rtol=1e-6)


def test_the_optimisers_state_goes_on() -> None:
    optimiser = optax.sgd(0.1, momentum=0.5)
    update = gradients.make_update(lambda params: (params, None), optimiser)
    params, state = jnp.array(1.0), optimiser.init(jnp.array(1.0))
    steps = []
    for _ in range(3):
        before = params
        _, _, params, state = update(params, state)
        steps.append(float(before - params))
    np.testing.assert_allclose(steps, [0.1, 0.15, 0.175], rtol=1e-5)


def test_optimisers_see_the_parameters_as_weight_decay_needs() -> None:
    optimiser = optax.chain(optax.add_decayed_weights(0.5), optax.scale(-1.0))
    update = gradients.make_update(lambda params: (0.0 * params, None), optimiser)
    _, _, params, _ = update(jnp.array(4.0), optimiser.init(jnp.array(4.0)))
    assert float(params) == 2.0


def test_updates_can_be_jitted_and_vmapped() -> None:
    optimiser = optax.adam(0.1)
    update = gradients.make_update(_loss, optimiser)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), _PARAMS)
    states = jax.vmap(optimiser.init)(stacked)
    _, _, together, _ = jax.jit(jax.vmap(update, (0, 0, None)))(stacked, states, jnp.array(2.0))
    for lane, factor in enumerate((1.0, 2.0)):
        params = jax.tree.map(lambda leaf, factor=factor: factor * leaf, _PARAMS)
        _, _, alone, _ = update(params, optimiser.init(params), jnp.array(2.0))
        np.testing.assert_allclose(together["x"][lane], alone["x"], rtol=1e-5)


@pytest.mark.parametrize("is_jitted", [False, True])
def test_an_update_that_is_not_due_changes_nothing_and_reports_nan(is_jitted: bool) -> None:
    def run(due: jax.Array, part: dict[str, jax.Array]) -> Any:
        def update() -> Any:
            return {"x": part["x"] + 1, "n": part["n"] + 1}, {"loss": part["x"].sum(), "size": jnp.float16(2)}

        return gradients.update_if(due, update, part)

    run = jax.jit(run) if is_jitted else run
    part = {"x": jnp.array([1.0, 2.0]), "n": jnp.int32(5)}
    after, metrics = run(jnp.array(True), part)
    assert (after["x"].tolist(), int(after["n"])) == ([2.0, 3.0], 6)
    assert {name: float(value) for name, value in metrics.items()} == {"loss": 3.0, "size": 2.0}
    same, skipped = run(jnp.array(False), part)
    jax.tree.map(np.testing.assert_array_equal, same, part)
    assert all(np.isnan(value) for value in skipped.values())
    assert jax.tree.map(jnp.dtype, skipped) == jax.tree.map(jnp.dtype, metrics)
