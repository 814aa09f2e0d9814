"""What MPO and V-MPO learn, and where it begins."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.conditional_mpo import duals
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.losses import Setting
from agents.core import Key


class MPOState(NamedTuple):
    """Everything MPO learns.

    Attributes:
      policy: parameters of the policy.
      target_policy: those of some updates ago, from which the policy keeps a bounded distance; acting uses
        them.
      policy_optimiser: state of its Adam.
      critic: parameters of the critic, or of V-MPO's value.
      target_critic: those of some updates ago; V-MPO has none.
      critic_optimiser: state of its Adam.
      duals: temperatures and multipliers, raw.
      duals_optimiser: state of their Adam.
      key: `[2]` uint32, of the actions drawn in the next update.
      step: `[]` int32, gradient steps done.
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
    setting: Setting,
    optimiser: optax.GradientTransformation,
    duals_optimiser: optax.GradientTransformation,
    key: Key,
) -> MPOState:
    """New networks, of which the targets are copies, and first values of the duals."""
    networks, config = setting
    policy_key, critic_key, update_key = jax.random.split(key, 3)
    policy = networks.policy.init(policy_key)
    critic = (networks.value if config.on_policy else networks.critic).init(critic_key)
    num_actions = 0 if networks.bounds is None else len(networks.bounds.low)
    multipliers = duals.init(config, num_actions, is_discrete=networks.bounds is None)
    if jnp.issubdtype(update_key.dtype, jax.dtypes.prng_key):
        update_key = jax.random.key_data(update_key)
    return MPOState(
        policy=policy,
        target_policy=policy,
        policy_optimiser=optimiser.init(policy),
        critic=critic,
        target_critic=() if config.on_policy else critic,
        critic_optimiser=optimiser.init(critic),
        duals=multipliers,
        duals_optimiser=duals_optimiser.init(multipliers),
        key=update_key,
        step=jnp.int32(0),
    )


def policy_part(state: MPOState) -> PolicyPart:
    """What an update of the policy changes, as it is."""
    return PolicyPart(*(getattr(state, name) for name in PolicyPart._fields))
