"""MPO with discrete actions: every expectation over legal actions is exact, and nothing is sampled.

Dimensions: `B` decisions, `U` observations, `A` actions, `Z` atoms. A distribution is `[U, A]` log
probabilities; the policy is fitted at the `B` decisions, or where that is less work at all `U` observations,
each as often as it was decided at.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from agents import actions
from agents.conditional_mpo import improvement, targets
from agents.conditional_mpo.conditioning import member_of
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.losses import (
    Constraint,
    Improvement,
    Judged,
    Judgement,
    Judges,
    Kind,
    Setting,
    expectation,
    scalar_target,
    take,
)
from agents.core import Key, Observation, Transition
from agents.networks import masked_log_probs, row_weights, shares


def rows(batch: Transition) -> tuple[Observation, jax.Array]:
    """The observations of the decisions, or where there are fewer the distinct ones; and their shares."""
    if _is_repetitive(batch):
        return batch.observation, shares(row_weights(batch, batch.now, batch.weight))
    return take(batch.observation, batch.now), shares(batch.weight)


def _is_repetitive(batch: Transition) -> bool:
    """Whether there are fewer observations than decisions, so that each is best looked at once."""
    return batch.observation.info_state.shape[0] <= batch.reward.shape[0]


def log_probs(setting: Setting, params: Any, observation: Observation) -> jax.Array:
    """`[U, A]` over legal actions; far below zero on others."""
    logits = setting.networks.policy.apply(params, observation)
    return masked_log_probs(logits, observation.legal_actions)


def kls(setting: Setting, prior: jax.Array, online: jax.Array) -> tuple[jax.Array]:
    """Of the policy, one number an observation."""
    del setting
    return (improvement.categorical_kl(prior, online),)


def bounds(config: ConditionalMPOConfig) -> dict[str, float]:
    """Names and bounds of `kls`."""
    return {"policy": config.epsilon_policy}


def entropy(log_probs: jax.Array) -> jax.Array:
    """`[U]`, in nats."""
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def log_prob_of(setting: Setting, prior: jax.Array, online: jax.Array, action: jax.Array) -> jax.Array:
    """`[B]`, of one action at each observation."""
    del setting, prior
    return jnp.take_along_axis(online, action[:, None], axis=-1)[:, 0]


def critic(setting: Setting, params: Any, batch: Transition) -> jax.Array:
    """`[B, Z]`: what the critic says of the actions taken."""
    if _is_repetitive(batch):
        return _critic(setting, params, batch.observation)[batch.now, batch.action]
    output = _critic(setting, params, take(batch.observation, batch.now))
    return output[jnp.arange(len(batch.action)), batch.action]


def _critic(setting: Setting, params: Any, observation: Observation) -> jax.Array:
    """`[U, A, Z]`."""
    output = setting.networks.critic.apply(params, observation)
    return output.reshape(*observation.legal_actions.shape, -1)


def judge(setting: Setting, judges: Judges, key: Key, batch: Transition) -> Judgement:
    """Values of all actions everywhere, and the critic's targets by exact expectation."""
    del key
    prior = log_probs(setting, judges.policy, batch.observation)
    output = _critic(setting, judges.critic, batch.observation)
    q = expectation(setting.config, output)
    # Illegal actions have probability zero, but their values are anybody's guess.
    probs = actions.legal_probs(prior, batch.observation.legal_actions)
    if setting.config.num_atoms > 1:
        following = jnp.einsum("ua,uaz->uz", probs, jax.nn.softmax(output))[batch.then]
        target = project(setting.config, batch, following)
    else:
        value = jnp.sum(probs * q, axis=-1)
        taken = (batch.now, batch.action)
        target = scalar_target(setting, batch, q[taken], value[batch.then], lambda: prior[taken])
    observation, share = rows(batch)
    member = member_of(setting.config, observation.context)
    if not _is_repetitive(batch):
        prior, q = prior[batch.now], q[batch.now]
    return Judgement(target, lambda: Judged(prior, observation, share, member, q, None))


def project(config: ConditionalMPOConfig, batch: Transition, following: jax.Array) -> jax.Array:
    """`[B, Z]`: distributions of returns from those `[B, Z]` of what follows."""
    discount, reward = config.discount * batch.discount, config.reward_scale * batch.reward
    return targets.project(following, targets.atoms(config), reward, discount)


def improve(setting: Setting, judged: Judged, duals: Duals) -> Improvement:
    """The policy that has most value within a bounded distance of the prior (2018b, equation 4)."""
    weights, log_normaliser = improvement.categorical_weights(judged.prior, judged.value, duals.temperature)
    constraint = Constraint(duals.temperature, log_normaliser, setting.config.epsilon, judged.share)
    return Improvement(weights, (constraint,))


def fit(
    setting: Setting, prior: jax.Array, online: jax.Array, judged: Judged, weights: jax.Array
) -> jax.Array:
    """Cross entropy of the improved policy and the online one."""
    del setting, prior
    return -jnp.sum(judged.share * jnp.sum(weights * jnp.where(weights > 0, online, 0.0), axis=-1))


KIND = Kind(log_probs, kls, bounds, entropy, log_prob_of, critic, judge, improve, fit)


def probs(setting: Setting, params: Any, observation: Observation) -> jax.Array:
    """`[B, A]`, exactly 0 on illegal actions."""
    return actions.legal_probs(log_probs(setting, params, observation), observation.legal_actions)


def behaviour(setting: Setting, params: Any, observation: Observation) -> jax.Array:
    """`[B, A]` probabilities of acting while learning."""
    legal, share = observation.legal_actions, setting.config.exploration
    return actions.mix_uniform(probs(setting, params, observation), legal, share)


def act(setting: Setting, params: Any, key: Key, observation: Observation) -> jax.Array:
    """`[B]` actions drawn from `behaviour`."""
    return actions.draw(key, behaviour(setting, params, observation))


def perform(setting: Setting, params: Any, key: Key, observation: Observation) -> jax.Array:
    """`[B]` actions drawn from `probs`."""
    return actions.draw(key, probs(setting, params, observation))


def log_prob(setting: Setting, params: Any, observation: Observation, action: jax.Array) -> jax.Array:
    """`[B]`, of actions under `behaviour`."""
    table = jnp.log(behaviour(setting, params, observation))
    return log_prob_of(setting, table, table, action)
