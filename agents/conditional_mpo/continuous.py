"""MPO with continuous actions: normal distributions, values of sampled actions, decoupled constraints.

Distributions live on [-1, 1] without being squashed into it: actions beyond are clipped before they are
judged or taken, and paid for.

Dimensions: `B` decisions, `A` numbers in an action, `N` sampled actions, `Z` atoms, `D` dimensions of a
constraint: `A`, or 1. The policy is fitted at the `B` observations of the decisions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from agents.actions import explore, squash, stretch
from agents.conditional_mpo import improvement
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.discrete import project
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.improvement import Gaussian
from agents.conditional_mpo.losses import (
    Constraint,
    Improvement,
    Judged,
    Judgement,
    Judges,
    Kind,
    Setting,
    expectation,
    members,
    scalar_target,
    take,
)
from agents.conditional_mpo.networks import WithAction
from agents.core import Bounds, Key, Transition
from agents.networks import shares


def rows(batch: Transition) -> tuple[Any, jax.Array]:
    """The observations of the decisions, one each."""
    return take(batch.observation, batch.now), shares(batch.weight)


def distribution(setting: Setting, params: Any, observation: Any) -> Gaussian:
    """`[R, A]` means and deviations."""
    mean, raw = jnp.split(setting.networks.policy.apply(params, observation), 2, axis=-1)
    config = setting.config
    # What softplus of zero becomes is the deviation to begin with.
    scale = config.init_deviation / jax.nn.softplus(0.0)
    return Gaussian(mean, config.min_deviation + scale * jax.nn.softplus(raw))


def kls(setting: Setting, prior: Gaussian, online: Gaussian) -> tuple[jax.Array, jax.Array]:
    """Of the means and of the deviations, each with the other held (2018b, section 4.2.1)."""
    return improvement.gaussian_kls(prior, online, setting.config.per_dimension)


def bounds(config: ConditionalMPOConfig) -> dict[str, float]:
    """Names and bounds of `kls`."""
    return {"mean": config.epsilon_mean, "deviation": config.epsilon_deviation}


def entropy(policy: Gaussian) -> jax.Array:
    """`[R]`, in nats."""
    return jnp.sum(jnp.log(policy.deviation) + 0.5 * jnp.log(2 * jnp.pi * jnp.e), axis=-1)


def log_prob_of(setting: Setting, prior: Gaussian, online: Gaussian, action: jax.Array) -> jax.Array:
    """`[B]`, of one action at each observation: by mean and by deviation, each with the other held."""
    return _decoupled(prior, online, squash(action, _bounds(setting))[None])[0]


def _decoupled(prior: Gaussian, online: Gaussian, action: jax.Array) -> jax.Array:
    """`[N, R]` of actions `[N, R, A]`."""
    by_mean = improvement.gaussian_log_prob(Gaussian(online.mean, prior.deviation), action)
    return by_mean + improvement.gaussian_log_prob(Gaussian(prior.mean, online.deviation), action)


def critic(setting: Setting, params: Any, batch: Transition) -> jax.Array:
    """`[B, Z]`: what the critic says of the actions taken."""
    observation, _ = rows(batch)
    inputs = WithAction(observation, squash(batch.action, _bounds(setting)))
    return setting.networks.critic.apply(params, inputs)


def judge(setting: Setting, judges: Judges, key: Key, batch: Transition) -> Judgement:
    """Values of actions drawn from the target policy: after the decisions, and where asked for at them."""
    config = setting.config
    now_key, then_key = jax.random.split(key)
    observation, share = rows(batch)
    following = take(batch.observation, batch.then)

    def prior() -> Gaussian:
        return distribution(setting, judges.policy, observation)

    def judged() -> Judged:
        policy = prior()
        action = _draw(now_key, policy, config.num_samples)
        q = expectation(config, _judge(setting, judges.critic, observation, action))
        member = members(config, observation, batch.reward.shape[0])
        return Judged(policy, observation, share, member, q, action)

    then = distribution(setting, judges.policy, following)
    output = _judge(setting, judges.critic, following, _draw(then_key, then, config.num_value_samples))
    if config.num_atoms > 1:
        target = project(config, batch, jax.nn.softmax(output).mean(axis=0))
    else:
        value = output[..., 0].mean(axis=0)
        taken = critic(setting, judges.critic, batch)[..., 0] if config.retrace else value
        target = scalar_target(
            setting, batch, taken, value, lambda: _log_prob(setting, prior(), batch.action)
        )
    return Judgement(target, judged)


def _judge(setting: Setting, params: Any, observation: Any, action: jax.Array) -> jax.Array:
    """`[N, B, Z]` of actions `[N, B, A]` at observations `[B, ..]`."""
    return setting.networks.critic.apply(params, WithAction(observation, jnp.clip(action, -1.0, 1.0)))


def improve(setting: Setting, judged: Judged, duals: Duals) -> Improvement:
    """Weights `[N, R]` of the sampled actions, by value and by how far they lie out of bounds.

    Both kinds of weights sum to 1 over the samples, so that together they sum to 2 (Abdolmaleki et al. 2020,
    section 4.2, as Acme has it).
    """
    config = setting.config
    weights, log_normaliser = improvement.sampled_weights(judged.value, duals.temperature)
    constraints = [Constraint(duals.temperature, log_normaliser, config.epsilon, judged.share)]
    if config.action_penalty:
        assert judged.action is not None, "values without their actions"
        cost = improvement.out_of_bounds_cost(judged.action)
        other, log_normaliser = improvement.sampled_weights(cost, duals.penalty_temperature)
        weights += other
        constraints.append(
            Constraint(duals.penalty_temperature, log_normaliser, config.epsilon_penalty, judged.share)
        )
    return Improvement(weights, tuple(constraints))


def fit(setting: Setting, prior: Gaussian, online: Gaussian, judged: Judged, weights: jax.Array) -> jax.Array:
    """Cross entropy of the weighted samples and the online policy, its parts decoupled."""
    del setting
    log_prob = _decoupled(prior, online, judged.action)
    return -jnp.sum(judged.share * jnp.sum(weights * log_prob, axis=0))


KIND = Kind(distribution, kls, bounds, entropy, log_prob_of, critic, judge, improve, fit)


def act(setting: Setting, params: Any, key: Key, observation: Any) -> jax.Array:
    """`[B, A]` actions drawn from the policy, or uniform ones with the probability of exploring."""
    sample_key, explore_key = jax.random.split(key)
    action = _draw(sample_key, distribution(setting, params, observation), 1)[0]
    action = explore(explore_key, action, setting.config.exploration)
    return stretch(action, _bounds(setting))


def perform(setting: Setting, params: Any, key: Key, observation: Any) -> jax.Array:
    """`[B, A]`, the mean: the same at every call."""
    del key
    return stretch(distribution(setting, params, observation).mean, _bounds(setting))


def log_prob(setting: Setting, params: Any, observation: Any, action: jax.Array) -> jax.Array:
    """`[B]`, of actions drawn by `act` without exploring, in the units of [-1, 1]."""
    return _log_prob(setting, distribution(setting, params, observation), action)


def _log_prob(setting: Setting, policy: Gaussian, action: jax.Array) -> jax.Array:
    return improvement.gaussian_log_prob(policy, squash(action, _bounds(setting))[None])[0]


def _draw(key: Key, policy: Gaussian, num: int) -> jax.Array:
    """`[num, R, A]`, without gradient."""
    noise = jax.random.normal(key, (num, *policy.mean.shape))
    return jax.lax.stop_gradient(policy.mean + policy.deviation * noise)


def _bounds(setting: Setting) -> Bounds:
    limits = setting.networks.bounds
    assert limits is not None, "networks for discrete actions"
    return limits
