"""V-MPO (Song et al. 2019): the policy is fitted to the better half of what was done, by a value function.

The same duals, constraints and networks as MPO; advantages of the actions taken stand where values of all
actions stand there. Batches must come from the target policy: each decision is to be used about once.

Dimensions: `B` decisions, at whose observations the policy is fitted; otherwise as in `losses`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from agents.conditional_mpo import improvement
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.losses import (
    Constraint,
    Improvement,
    Judged,
    Judgement,
    Judges,
    Kind,
    Setting,
    members,
    scalar_target,
    take,
)
from agents.core import Key, Transition
from agents.networks import shares


def value(setting: Setting, params: Any, batch: Transition) -> jax.Array:
    """`[B, 1]` at the decisions."""
    return setting.networks.value.apply(params, take(batch.observation, batch.now))


def judge(kind: Kind, setting: Setting, judges: Judges, key: Key, batch: Transition) -> Judgement:
    """Advantages of the actions taken: what was paid and the value after it, less the value before."""
    del key
    values = setting.networks.value.apply(judges.critic, batch.observation)[..., 0]
    target = scalar_target(setting, batch, values[batch.now], values[batch.then])
    observation = take(batch.observation, batch.now)
    prior = kind.distribution(setting, judges.policy, observation)
    advantage = target - values[batch.now]
    member = members(setting.config, observation, batch.reward.shape[0])
    judged = Judged(prior, observation, shares(batch.weight), member, advantage, batch.action)
    return Judgement(target, lambda: judged)


def improve(setting: Setting, judged: Judged, duals: Duals) -> Improvement:
    """Weights `[B]` of the decisions: none in the worse half (equations 4 and 5)."""
    config = setting.config
    by_member = judged.member if config.duals_per_member else None
    weights, log_normaliser = improvement.top_weights(
        judged.value, duals.temperature, judged.share, config.top_fraction, by_member
    )
    return Improvement(
        weights, (Constraint(duals.temperature, log_normaliser, config.epsilon, judged.share),)
    )


def fit(
    kind: Kind, setting: Setting, prior: Any, online: Any, judged: Judged, weights: jax.Array
) -> jax.Array:
    """Cross entropy of the weighted decisions and the online policy (equation 3)."""
    return -jnp.sum(weights * kind.log_prob(setting, prior, online, judged.action))
