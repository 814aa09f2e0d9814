"""Tests of agents.gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from agents import gradients

_PARAMS = {"x": jnp.array([1.0, -2.0]), "y": jnp.array(3.0)}


def _loss(params: dict[str, jax.Array], scale: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    value = scale * (jnp.sum(params["x"] ** 2) + params["x"][0] * params["y"])
    return value, {"scale": scale}


def test_one_step_of_gradient_descent_by_hand() -> None:
    optimiser = optax.sgd(0.1)
    update = gradients.make_update(_loss, optimiser)
    value, aux, params, _ = update(_PARAMS, optimiser.init(_PARAMS), jnp.array(2.0))
    # 2 (1 + 4 + 3); gradients 2 (2x + [y, 0]) = [10, -8] and 2 x_0 = 2.
    assert float(value) == 16.0
    assert float(aux["scale"]) == 2.0
    np.testing.assert_allclose(params["x"], [0.0, -1.2], atol=1e-6)
    np.testing.assert_allclose(params["y"], 2.8, rtol=1e-6)


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
