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
    Model,
    PolicyBatch,
    members,
)
from agents.conditional_mpo.critic import scalar_target
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.e_step import top_weights
from agents.core import Key, Transition
from agents.networks import shares, take_rows


def value(model: Model, params: Any, batch: Transition) -> jax.Array:
    """Returns `[B, 1]`, state values at the decisions."""
    return model.networks.value.apply(params, take_rows(batch.observation, batch.now))


def evaluate(
    actions: Actions, model: Model, params: EvaluationParams, key: Key, batch: Transition
) -> Evaluation:
    """Computes advantages of the actions taken: reward and next value, less the value at the decision."""
    del key
    # V-MPO has no target critic: the online value gives both the targets and the advantages.
    # One pass over all observations serves both the decisions and what follows them.
    values = model.networks.value.apply(params.critic, batch.observation)[..., 0]
    target = scalar_target(model, batch, values[batch.now], values[batch.then])
    observation = take_rows(batch.observation, batch.now)
    prior = actions.distribution(model, params.policy, observation)
    # Advantages use the value from before this update's step of the critic.
    advantage = target - values[batch.now]
    member = members(model.config, observation, batch.reward.shape[0])
    taken = actions.drawn(batch)
    policy_batch = PolicyBatch(prior, observation, shares(batch.weight), member, advantage, taken)
    return Evaluation(target, lambda: policy_batch)


def improve(model: Model, batch: PolicyBatch, duals: Duals) -> Improvement:
    """Computes weights `[B]` of the decisions; the worst ones get 0 (equations 4 and 5)."""
    config = model.config
    # Members that share a temperature share its constraint too, and compete for the same top fraction.
    by_member = batch.member if config.duals_per_member else None
    weights, log_normaliser = top_weights(
        batch.value, duals.temperature, batch.share, config.top_fraction, by_member
    )
    return Improvement(weights, (Constraint(duals.temperature, log_normaliser, config.epsilon, batch.share),))


def fit(
    actions: Actions, model: Model, prior: Any, online: Any, batch: PolicyBatch, weights: jax.Array
) -> jax.Array:
    """Computes the cross entropy `[]` of the weighted decisions and the online policy (equation 3)."""
    # Weights sum to 1 over the batch already, and shares are in them, so this is a sum and not a mean.
    log_prob = actions.log_prob(model, prior, online, batch.action)
    chex.assert_equal_shape([weights, log_prob])
    return -jnp.sum(weights * log_prob)
