"""Training state of MPO and V-MPO, and its first values."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.conditional_mpo import duals
from agents.conditional_mpo.base import Setting
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
      key: `[2]` uint32, random key of the next update.
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
    setting: Setting,
    optimiser: optax.GradientTransformation,
    duals_optimiser: optax.GradientTransformation,
    key: Key,
) -> MPOState:
    """Returns new networks, targets that are copies of them, and the first values of the duals."""
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
    """Returns the fields that an update of the policy changes."""
    return PolicyPart(*(getattr(state, name) for name in PolicyPart._fields))
