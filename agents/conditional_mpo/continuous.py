"""MPO with continuous actions: normal distributions, values of sampled actions, decoupled constraints.

Distributions are in units of [-1, 1] but are not squashed into it. Actions beyond are clipped before they are
evaluated or taken, and `action_penalty` penalises them.

Dimensions: `B` decisions, `A` numbers in an action, `N` sampled actions, `Z` atoms, `D` dimensions of a
constraint: `A`, or 1. The policy is fitted at the `B` observations of the decisions.
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from agents.actions import explore, squash, stretch, unsquash
from agents.conditional_mpo import e_step, m_step
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
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.critic import categorical_target, critic_values, scalar_target
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.m_step import Gaussian
from agents.conditional_mpo.networks import WithAction
from agents.core import Bounds, Choice, Key, Transition
from agents.networks import shares, take_rows


def rows(batch: Transition) -> tuple[Any, jax.Array]:
    """Returns the observations of the decisions `[B, ..]`, and their shares `[B]`."""
    return take_rows(batch.observation, batch.now), shares(batch.weight)


def distribution(model: Model, params: Any, observation: Any) -> Gaussian:
    """Returns the policy's means and standard deviations, `[R, A]` each."""
    mean, raw = jnp.split(model.networks.policy.apply(params, observation), 2, axis=-1)
    config = model.config
    # The head begins near zero, so the scale makes the first deviation `init_deviation`. Softplus keeps it
    # positive, and the least deviation keeps densities and KLs finite.
    scale = config.init_deviation / jax.nn.softplus(0.0)
    return Gaussian(mean, config.min_deviation + scale * jax.nn.softplus(raw))


def kls(model: Model, prior: Gaussian, online: Gaussian) -> tuple[jax.Array, jax.Array]:
    """Returns KLs `[R, D]` of the means and of the deviations, decoupled (2018b, section 4.2.1)."""
    return m_step.gaussian_kls(prior, online, model.config.per_dimension)


def bounds(config: ConditionalMPOConfig) -> dict[str, float]:
    """Returns the names and bounds of `kls`."""
    return {"mean": config.epsilon_mean, "deviation": config.epsilon_deviation}


def entropy(policy: Gaussian) -> jax.Array:
    """Returns entropies `[R]`, in nats."""
    return jnp.sum(jnp.log(policy.deviation) + 0.5 * jnp.log(2 * jnp.pi * jnp.e), axis=-1)


def log_prob_of(model: Model, prior: Gaussian, online: Gaussian, action: jax.Array) -> jax.Array:
    """Returns decoupled log densities `[B]` of one action at each observation."""
    return _decoupled(prior, online, squash(action, _bounds(model))[None])[0]


def _decoupled(prior: Gaussian, online: Gaussian, action: jax.Array) -> jax.Array:
    """Returns `[N, R]`, the sum of two log densities of actions `[N, R, A]`.

    One has the online mean and the prior's deviation, the other the prior's mean and the online deviation. So
    the gradient of the mean does not depend on the online deviation, which could shrink and inflate it.
    """
    by_mean = m_step.gaussian_log_prob(Gaussian(online.mean, prior.deviation), action)
    return by_mean + m_step.gaussian_log_prob(Gaussian(prior.mean, online.deviation), action)


def critic(model: Model, params: Any, batch: Transition) -> jax.Array:
    """Returns the critic's outputs `[B, Z]` for the actions taken."""
    observation, _ = rows(batch)
    inputs = WithAction(observation, squash(batch.action, _bounds(model)))
    return model.networks.critic.apply(params, inputs)


def evaluate(model: Model, params: EvaluationParams, key: Key, batch: Transition) -> Evaluation:
    """Evaluates actions sampled from the target policy.

    Samples at the next observations give the critic's targets. Samples at the decisions are for the E-step,
    and are drawn and evaluated only if it runs.
    """
    config = model.config
    # Both keys are split off in any case, so targets do not depend on whether the E-step runs.
    now_key, then_key = jax.random.split(key)
    observation, share = rows(batch)
    following = take_rows(batch.observation, batch.then)

    # A function, because an update of the critic alone needs no policy at the decisions (except for Retrace).
    def prior() -> Gaussian:
        return distribution(model, params.policy, observation)

    def policy_batch() -> PolicyBatch:
        policy = prior()
        action = _draw(now_key, policy, config.num_samples)
        q = critic_values(config, _values(model, params.critic, observation, action))
        member = members(config, observation, batch.reward.shape[0])
        return PolicyBatch(policy, observation, share, member, q, action)

    then = distribution(model, params.policy, following)
    output = _values(model, params.critic, following, _draw(then_key, then, config.num_value_samples))
    # The mean over samples estimates the expectation under the target policy: the mixture of the actions'
    # distributions of returns if the critic is categorical, and their mean value otherwise.
    if config.num_atoms > 1:
        target = categorical_target(config, batch, jax.nn.softmax(output).mean(axis=0))
    else:
        value = output[..., 0].mean(axis=0)
        # Only Retrace reads the values of the actions taken. Without it, any array of the shape will do.
        taken = critic(model, params.critic, batch)[..., 0] if config.retrace else value
        target = scalar_target(model, batch, taken, value, lambda: _log_prob(model, prior(), drawn(batch)))
    return Evaluation(target, policy_batch)


def _values(model: Model, params: Any, observation: Any, action: jax.Array) -> jax.Array:
    """Returns critic outputs `[N, B, Z]` for actions `[N, B, A]` at observations `[B, ..]`."""
    # Actions beyond the bounds are clipped before they are taken, so the critic is trained only within them.
    return model.networks.critic.apply(params, WithAction(observation, jnp.clip(action, -1.0, 1.0)))


def improve(model: Model, batch: PolicyBatch, duals: Duals) -> Improvement:
    """Computes weights `[N, R]` of the sampled actions by value and by distance out of bounds (E-step).

    Both kinds of weights sum to 1 over the samples, so that together they sum to 2 (Abdolmaleki et al. 2020,
    section 4.2, as Acme has it).
    """
    config = model.config
    weights, log_normaliser = e_step.sampled_weights(batch.value, duals.temperature)
    constraints = [Constraint(duals.temperature, log_normaliser, config.epsilon, batch.share)]
    if config.action_penalty:
        assert batch.action is not None, "values without their actions"
        cost = e_step.out_of_bounds_cost(batch.action)
        other, log_normaliser = e_step.sampled_weights(cost, duals.penalty_temperature)
        # The sum fits the policy to both objectives at once. Each has its own temperature and KL bound.
        weights += other
        constraints.append(
            Constraint(duals.penalty_temperature, log_normaliser, config.epsilon_penalty, batch.share)
        )
    return Improvement(weights, tuple(constraints))


def fit(model: Model, prior: Gaussian, online: Gaussian, batch: PolicyBatch, weights: jax.Array) -> jax.Array:
    """Computes the cross entropy of the weighted samples and the online policy, decoupled (M-step)."""
    del model
    chex.assert_shape(weights, batch.action.shape[:-1])
    # The actions as they were drawn: clipped ones would pile up at the bounds, which no normal density fits.
    log_prob = _decoupled(prior, online, batch.action)
    return -jnp.sum(batch.share * jnp.sum(weights * log_prob, axis=0))


def drawn(batch: Transition) -> jax.Array:
    """Returns the actions taken, `[B, A]`, as they were drawn.

    Clipped actions pile up at the bounds. A normal density fitted to them shrinks and moves inwards at every
    update, whatever the rewards are, and ratios of densities at the bounds are not those of the draws.

    Raises:
      ValueError: the batch has no record of them.
    """
    if batch.drawn is None:
        raise ValueError(
            "V-MPO and Retrace with continuous actions need each action as it was drawn, before it was "
            "clipped: let a policy act that ConditionalMPOBuilder made, and give its extras to the replay."
        )
    return batch.drawn


ACTIONS = Actions(distribution, kls, bounds, entropy, log_prob_of, critic, evaluate, drawn, improve, fit)


def act(model: Model, params: Any, key: Key, observation: Any) -> jax.Array:
    """Draws actions `[B, A]` from the policy; some are uniform instead, with probability `exploration`."""
    return choose(model, params, key, observation).action


def choose(model: Model, params: Any, key: Key, observation: Any) -> Choice:
    """Draws actions as `act` does, and returns them both clipped to the bounds and as they were drawn."""
    sample_key, explore_key = jax.random.split(key)
    action = _draw(sample_key, distribution(model, params, observation), 1)[0]
    action = explore(explore_key, action, model.config.exploration)
    return Choice(stretch(action, _bounds(model)), unsquash(action, _bounds(model)))


def perform(model: Model, params: Any, key: Key, observation: Any) -> jax.Array:
    """Returns the policy's means `[B, A]` as actions; nothing is random."""
    del key
    return stretch(distribution(model, params, observation).mean, _bounds(model))


def log_prob(model: Model, params: Any, observation: Any, action: jax.Array) -> jax.Array:
    """Returns log densities `[B]` of actions as they are drawn without exploration, in units of [-1, 1]."""
    return _log_prob(model, distribution(model, params, observation), action)


def _log_prob(model: Model, policy: Gaussian, action: jax.Array) -> jax.Array:
    """Returns log densities `[B]` of one environment's action at each observation."""
    return m_step.gaussian_log_prob(policy, squash(action, _bounds(model))[None])[0]


def _draw(key: Key, policy: Gaussian, num: int) -> jax.Array:
    """Draws `[num, R, A]` actions, without gradient."""
    # No reparametrisation: MPO's gradient is that of a weighted log likelihood, in which samples are data.
    noise = jax.random.normal(key, (num, *policy.mean.shape))
    return jax.lax.stop_gradient(policy.mean + policy.deviation * noise)


def _bounds(model: Model) -> Bounds:
    """Returns the bounds of the actions."""
    limits = model.networks.bounds
    assert limits is not None, "networks for discrete actions"
    return limits
