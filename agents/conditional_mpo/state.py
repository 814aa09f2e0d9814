"""Training state of MPO and V-MPO, and its first values."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import random_keys
from agents.conditional_mpo import duals
from agents.conditional_mpo.base import Model
from agents.conditional_mpo.duals import Duals
from agents.core import Key


class MPOState(NamedTuple):
    """Training state of MPO or V-MPO.

    Attributes:
      policy: parameters of the policy.
      target_policy: parameters of an earlier policy, the prior of the KL constraints; acting uses them.
      policy_optimiser: state of the policy's Adam.
      critic: parameters of the critic, or of V-MPO's value.
      target_critic: parameters of an earlier critic; `()` for V-MPO.
      critic_optimiser: state of the critic's Adam.
      duals: temperatures and Lagrange multipliers, as raw numbers.
      duals_optimiser: state of the duals' Adam.
      key: `[2]` uint32, random key of the next update, as raw data so that checkpoints can hold it.
      step: `[]` int32, number of gradient steps done.
    """

    policy: Any
    target_policy: Any
    policy_optimiser: Any
    critic: Any
    target_critic: Any
    critic_optimiser: Any
    duals: Duals
    duals_optimiser: Any
    key: jax.Array
    step: jax.Array


class PolicyPart(NamedTuple):
    """The fields of `MPOState` that an update of the policy changes."""

    policy: Any
    policy_optimiser: Any
    duals: Duals
    duals_optimiser: Any


def init_state(
    model: Model,
    optimiser: optax.GradientTransformation,
    duals_optimiser: optax.GradientTransformation,
    key: Key,
) -> MPOState:
    """Returns the state before learning, with random networks.

    Args:
      model: the agent's networks and configuration.
      optimiser: optimiser of the policy and of the critic, each of which has a state of its own.
      duals_optimiser: optimiser of the temperatures and the Lagrange multipliers.
      key: random key, typed or raw.
    """
    networks, config = model
    policy_key, critic_key, update_key = jax.random.split(key, 3)
    policy = networks.policy.init(policy_key)
    # V-MPO's critic is a state value. Only the network that is trained gets parameters.
    critic = (networks.value if config.on_policy else networks.critic).init(critic_key)
    # Continuous actions may have one multiplier for each of their numbers; discrete ones have a single one.
    num_actions = 0 if networks.bounds is None else len(networks.bounds.low)
    multipliers = duals.init(config, num_actions, is_discrete=networks.bounds is None)
    return MPOState(
        policy=policy,
        # Targets begin as copies, so the KL of the first update is 0 and its constraints do not bind.
        target_policy=policy,
        policy_optimiser=optimiser.init(policy),
        critic=critic,
        target_critic=() if config.on_policy else critic,
        critic_optimiser=optimiser.init(critic),
        duals=multipliers,
        duals_optimiser=duals_optimiser.init(multipliers),
        key=random_keys.to_raw(update_key),
        step=jnp.int32(0),
    )


def policy_part(state: MPOState) -> PolicyPart:
    """Returns the fields that an update of the policy changes."""
    return PolicyPart(*(getattr(state, name) for name in PolicyPart._fields))
