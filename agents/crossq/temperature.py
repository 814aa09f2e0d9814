"""The weight of the policy's entropy: learned, or falling along a schedule."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.crossq.config import CrossQConfig
from agents.gradients import make_update


class Temperature(NamedTuple):
    """A learned temperature; stays as it began where a schedule sets it.

    Attributes:
      log_value: `[]`.
      optimiser: state of its Adam.
    """

    log_value: jax.Array
    optimiser: optax.OptState


def init(config: CrossQConfig) -> Temperature:
    """The temperature before learning."""
    log_value = jnp.log(jnp.float32(config.temperature))
    return Temperature(log_value, _optimiser(config).init(log_value))


def value(config: CrossQConfig, temperature: Temperature, step: jax.Array) -> jax.Array:
    """`[]`, in units of reward, after so many gradient steps."""
    return jnp.exp(temperature.log_value) if config.learn_temperature else schedule(config, step)


def schedule(config: CrossQConfig, step: jax.Array) -> jax.Array:
    """`[]`, falling geometrically over the configuration's horizon."""
    progress = jnp.minimum(step / config.horizon, 1.0)
    return config.temperature * (config.final_temperature / config.temperature) ** progress


def update(
    config: CrossQConfig, temperature: Temperature, entropy: jax.Array, target_entropy: jax.Array
) -> Temperature:
    """One step towards the target entropy (Haarnoja et al. 2018b, equation 18).

    The loss has the temperature's logarithm where the equation has the temperature, as in its authors' code
    and in the ports of CrossQ: a small temperature then moves as readily as a large one.
    """
    if not config.learn_temperature:
        return temperature

    def loss(log_value: jax.Array) -> tuple[jax.Array, None]:
        return log_value * jax.lax.stop_gradient(entropy - target_entropy), None

    step = make_update(loss, _optimiser(config))
    _, _, log_value, optimiser = step(temperature.log_value, temperature.optimiser)
    return Temperature(log_value, optimiser)


def _optimiser(config: CrossQConfig) -> optax.GradientTransformation:
    # Its momentum is Adam's usual one in the authors' code.
    return optax.adam(learning_rate(config), b2=config.adam_b2)


def learning_rate(config: CrossQConfig) -> optax.Schedule:
    """Step size after so many updates."""
    return optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.horizon)
