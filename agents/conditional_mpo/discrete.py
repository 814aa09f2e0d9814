"""MPO with discrete actions: all expectations over legal actions are exact, and nothing is sampled.

Dimensions: `B` decisions, `U` observations, `A` actions, `Z` atoms. A distribution is `[U, A]` log
probabilities. The policy is fitted at the `B` decisions' observations, or, if that is less work, at all `U`
observations, each weighted by its decisions.
"""

from __future__ import annotations

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp

from agents.actions import DiscreteActing, discrete_acting, legal_probs
from agents.conditional_mpo import e_step, m_step
from agents.conditional_mpo.base import (
    Actions,
    Constraint,
    Evaluation,
    EvaluationParams,
    Improvement,
    Model,
    PolicyBatch,
)
from agents.conditional_mpo.conditioning import member_of
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.critic import categorical_target, critic_values, scalar_target
from agents.conditional_mpo.duals import Duals
from agents.core import Key, Observation, Transition
from agents.networks import masked_log_probs, row_weights, shares, take_rows


def rows(batch: Transition) -> tuple[Observation, jax.Array]:
    """Returns the observations that the policy is fitted at, and their shares `[R]`."""
    # Both ways give the same losses: sums over decisions, or over observations weighted by their decisions.
    if _is_repetitive(batch):
        return batch.observation, shares(row_weights(batch, batch.now, batch.weight))
    return take_rows(batch.observation, batch.now), shares(batch.weight)


def _is_repetitive(batch: Transition) -> bool:
    """Returns True if there are no more observations than decisions, so it is less work to see each once."""
    return batch.observation.info_state.shape[0] <= batch.reward.shape[0]


def log_probs(model: Model, params: Any, observation: Observation) -> jax.Array:
    """Returns log probabilities `[U, A]`, normalised over legal actions; about -1e9 on illegal ones."""
    logits = model.networks.policy.apply(params, observation)
    return masked_log_probs(logits, observation.legal_actions)


def kls(model: Model, prior: jax.Array, online: jax.Array) -> tuple[jax.Array]:
    """Returns the KL `[R, 1]` of the policy from the prior, one number for each observation."""
    del model
    return (m_step.categorical_kl(prior, online),)


def bounds(config: ConditionalMPOConfig) -> dict[str, float]:
    """Returns the names and bounds of `kls`."""
    return {"policy": config.epsilon_policy}


def entropy(log_probs: jax.Array) -> jax.Array:
    """Returns entropies `[U]`, in nats."""
    # Finite log probabilities of about -1e9 make illegal actions add 0, not 0 times infinity.
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def log_prob_of(model: Model, prior: jax.Array, online: jax.Array, action: jax.Array) -> jax.Array:
    """Returns log probabilities `[B]` of one action at each observation."""
    del model, prior
    return jnp.take_along_axis(online, action[:, None], axis=-1)[:, 0]


def critic(model: Model, params: Any, batch: Transition) -> jax.Array:
    """Returns the critic's outputs `[B, Z]` for the actions taken."""
    if _is_repetitive(batch):
        return _critic(model, params, batch.observation)[batch.now, batch.action]
    output = _critic(model, params, take_rows(batch.observation, batch.now))
    return output[jnp.arange(len(batch.action)), batch.action]


def _critic(model: Model, params: Any, observation: Observation) -> jax.Array:
    """Returns the critic's outputs `[U, A, Z]` for all actions."""
    output = model.networks.critic.apply(params, observation)
    return output.reshape(*observation.legal_actions.shape, -1)


def evaluate(model: Model, params: EvaluationParams, key: Key, batch: Transition) -> Evaluation:
    """Computes values of all actions at all observations, and the critic's targets by exact expectation."""
    del key
    prior = log_probs(model, params.policy, batch.observation)
    output = _critic(model, params.critic, batch.observation)
    q = critic_values(model.config, output)
    # The values of illegal actions are never trained, so their probability must be exactly zero.
    probs = legal_probs(prior, batch.observation.legal_actions)
    if model.config.num_atoms > 1:
        # The return of a policy is distributed as the mixture of its actions' distributions.
        following = jnp.einsum("ua,uaz->uz", probs, jax.nn.softmax(output))[batch.then]
        target = categorical_target(model.config, batch, following)
    else:
        value = jnp.sum(probs * q, axis=-1)
        taken = (batch.now, batch.action)
        target = scalar_target(model, batch, q[taken], value[batch.then], lambda: prior[taken])
    observation, share = rows(batch)
    # The target policy's outputs above serve the E-step too, so it costs no second pass.
    member = member_of(model.config, observation.context)
    if not _is_repetitive(batch):
        prior, q = prior[batch.now], q[batch.now]
    return Evaluation(target, lambda: PolicyBatch(prior, observation, share, member, q, None))


def improve(model: Model, batch: PolicyBatch, duals: Duals) -> Improvement:
    """Computes the policy with the highest value within a KL from the prior (E-step; 2018b, equation 4)."""
    weights, log_normaliser = e_step.categorical_weights(batch.prior, batch.value, duals.temperature)
    constraint = Constraint(duals.temperature, log_normaliser, model.config.epsilon, batch.share)
    return Improvement(weights, (constraint,))


def fit(
    model: Model, prior: jax.Array, online: jax.Array, batch: PolicyBatch, weights: jax.Array
) -> jax.Array:
    """Computes the cross entropy of the improved policy and the online policy (M-step)."""
    del model, prior
    chex.assert_equal_shape([weights, online])
    # Illegal actions have weight 0 and a log probability that may be infinite; their product would be NaN.
    return -jnp.sum(batch.share * jnp.sum(weights * jnp.where(weights > 0, online, 0.0), axis=-1))


def drawn(batch: Transition) -> jax.Array:
    """Returns the actions taken, `[B]`; nothing changes them between the policy and the game."""
    return batch.action


ACTIONS = Actions(log_probs, kls, bounds, entropy, log_prob_of, critic, evaluate, drawn, improve, fit)


def acting(model: Model) -> DiscreteActing:
    """Returns the functions by which the policy acts."""
    return discrete_acting(functools.partial(log_probs, model), model.config.exploration)


def log_prob(model: Model, params: Any, observation: Observation, action: jax.Array) -> jax.Array:
    """Returns log probabilities `[B]` of actions while learning, exploration included."""
    # Illegal actions get minus infinity, which no batch looks up.
    table = jnp.log(acting(model).behaviour(params, observation))
    return log_prob_of(model, table, table, action)
