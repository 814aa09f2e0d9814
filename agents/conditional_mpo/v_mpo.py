"""V-MPO (Song et al. 2019, arXiv 1909.12238): the policy is fitted to the decisions with the best advantages.

It has the same duals, constraints and networks as MPO. Advantages of the actions taken replace the values of
all actions. Batches must come from the target policy, so each decision should be used about once.

Dimensions: `B` decisions, at whose observations the policy is fitted; otherwise as in `base`.
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from agents.conditional_mpo.base import (
    Actions,
    Constraint,
    Evaluation,
    EvaluationParams,
    Improvement,
    PolicyBatch,
    Setting,
    members,
    take,
)
from agents.conditional_mpo.critic import scalar_target
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.e_step import top_weights
from agents.core import Key, Transition
from agents.networks import shares


def value(setting: Setting, params: Any, batch: Transition) -> jax.Array:
    """Returns `[B, 1]`, state values at the decisions."""
    return setting.networks.value.apply(params, take(batch.observation, batch.now))


def evaluate(
    actions: Actions, setting: Setting, params: EvaluationParams, key: Key, batch: Transition
) -> Evaluation:
    """Computes advantages of the actions taken: reward and next value, less the value at the decision."""
    del key
    # One pass over all observations serves both the decisions and what follows them.
    values = setting.networks.value.apply(params.critic, batch.observation)[..., 0]
    target = scalar_target(setting, batch, values[batch.now], values[batch.then])
    observation = take(batch.observation, batch.now)
    prior = actions.distribution(setting, params.policy, observation)
    advantage = target - values[batch.now]
    member = members(setting.config, observation, batch.reward.shape[0])
    policy_batch = PolicyBatch(prior, observation, shares(batch.weight), member, advantage, batch.action)
    return Evaluation(target, lambda: policy_batch)


def improve(setting: Setting, batch: PolicyBatch, duals: Duals) -> Improvement:
    """Computes weights `[B]` of the decisions; the worst ones get 0 (equations 4 and 5)."""
    config = setting.config
    # Members that share a temperature share its constraint too, and compete for the same top fraction.
    by_member = batch.member if config.duals_per_member else None
    weights, log_normaliser = top_weights(
        batch.value, duals.temperature, batch.share, config.top_fraction, by_member
    )
    return Improvement(weights, (Constraint(duals.temperature, log_normaliser, config.epsilon, batch.share),))


def fit(
    actions: Actions, setting: Setting, prior: Any, online: Any, batch: PolicyBatch, weights: jax.Array
) -> jax.Array:
    """Computes the cross entropy `[]` of the weighted decisions and the online policy (equation 3)."""
    log_prob = actions.log_prob(setting, prior, online, batch.action)
    chex.assert_equal_shape([weights, log_prob])
    return -jnp.sum(weights * log_prob)
