"""Temperature of CrossQ, the weight of the policy's entropy: learned, or falling along a schedule."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from agents.crossq.config import CrossQConfig
from agents.gradients import make_update


class Temperature(NamedTuple):
    """State of a learned temperature. It does not change if a schedule sets the temperature instead.

    Attributes:
      log_value: `[]`, logarithm of the temperature, which keeps the temperature itself positive.
      optimiser: state of its Adam.
    """

    log_value: jax.Array
    optimiser: optax.OptState


def init(config: CrossQConfig) -> Temperature:
    """Returns the temperature's state before learning."""
    log_value = jnp.log(jnp.float32(config.temperature))
    return Temperature(log_value, _optimiser(config).init(log_value))


def value(config: CrossQConfig, temperature: Temperature, step: jax.Array) -> jax.Array:
    """Returns the temperature `[]`, in units of scaled reward, after `step` gradient steps."""
    return jnp.exp(temperature.log_value) if config.learn_temperature else schedule(config, step)


def schedule(config: CrossQConfig, step: jax.Array) -> jax.Array:
    """Returns the scheduled temperature `[]` after `step` gradient steps.

    It falls geometrically over the configuration's horizon and stays at its final value afterwards.
    """
    # `horizon` counts gradient steps of the critics, so the schedule does not depend on the policy's delay.
    progress = jnp.minimum(step / config.horizon, 1.0)
    return config.temperature * (config.final_temperature / config.temperature) ** progress


def update(
    config: CrossQConfig, temperature: Temperature, entropy: jax.Array, target_entropy: jax.Array
) -> Temperature:
    """Runs one step of a learned temperature towards the target entropy.

    The loss is that of Haarnoja et al. 2018b, equation 18, with the temperature's logarithm instead of the
    temperature, as in its authors' code and in the ports of CrossQ. Its gradient does not depend on the
    temperature, so a small temperature changes by the same factor as a large one.

    Args:
      config: the agent's configuration.
      temperature: the state before the step.
      entropy: `[]`, mean entropy of the policy, in nats.
      target_entropy: `[]`, entropy that the policy should have, in nats.

    Returns:
      The state after the step; unchanged if the temperature is not learned.
    """
    chex.assert_rank([entropy, target_entropy], 0)
    if not config.learn_temperature:
        return temperature

    # Descent raises the temperature if the entropy is below its target, and lowers it if it is above.
    def loss(log_value: jax.Array) -> tuple[jax.Array, None]:
        return log_value * jax.lax.stop_gradient(entropy - target_entropy), None

    step = make_update(loss, _optimiser(config))(temperature.log_value, temperature.optimiser)
    return Temperature(step.params, step.optimiser_state)


def _optimiser(config: CrossQConfig) -> optax.GradientTransformation:
    """Returns the temperature's Adam."""
    # In the authors' code the networks' momentum is 0.5, but the temperature's is Adam's usual 0.9.
    return optax.adam(learning_rate(config), b2=config.adam_b2)


def learning_rate(config: CrossQConfig) -> optax.Schedule:
    """Returns the schedule of step sizes: linear over `config.horizon` updates, then constant.

    The optimiser that it is given to counts its own updates, see `CrossQConfig.final_learning_rate`.
    """
    return optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.horizon)
