"""Update of MPO and V-MPO as an `AgentCore`, for discrete and for continuous actions.

Dimensions: `B` decisions, `R` observations that the policy is fitted at, `Z` atoms, `D` dimensions of a
constraint.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from agents import random_keys
from agents.conditional_mpo import continuous, discrete, duals, v_mpo
from agents.conditional_mpo.base import (
    Actions,
    Evaluation,
    EvaluationParams,
    Improvement,
    Model,
    PolicyBatch,
)
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.critic import critic_loss
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.e_step import temperature_loss
from agents.conditional_mpo.joining import make_joining
from agents.conditional_mpo.m_step import penalties
from agents.conditional_mpo.networks import MPONetworks
from agents.conditional_mpo.state import MPOState, PolicyPart, init_state, policy_part
from agents.core import AgentCore, Metrics, Transition
from agents.gradients import make_update, update_if


class _Method(NamedTuple):
    """Functions that differ between MPO and V-MPO, bound to one kind of actions.

    Attributes:
      critic: (model, critic params, transition) -> `[B, Z]`.
      evaluate: (model, EvaluationParams, key, transition) -> Evaluation.
      improve: (model, PolicyBatch, duals `[R]`) -> Improvement; the E-step.
      fit: (model, prior, online, PolicyBatch, weights) -> `[]`; the M-step's objective.
    """

    critic: Callable[..., jax.Array]
    evaluate: Callable[..., Evaluation]
    improve: Callable[..., Improvement]
    fit: Callable[..., jax.Array]


class _Parts(NamedTuple):
    """Everything about an agent that its updates need and that never changes."""

    model: Model
    actions: Actions
    method: _Method
    optimiser: optax.GradientTransformation
    duals_optimiser: optax.GradientTransformation


def make_core(networks: MPONetworks, config: ConditionalMPOConfig) -> AgentCore:
    """Makes MPO (Abdolmaleki et al. 2018a, 2018b), or V-MPO (Song et al. 2019), as an `AgentCore`.

    Raises:
      ValueError: the configuration is not possible with this kind of actions.
    """
    module = discrete if networks.bounds is None else continuous
    if config.retrace and config.exploration > 0 and networks.bounds is not None:
        raise ValueError(
            "Retrace cannot tell how probable uniform continuous actions were: set exploration=0 or "
            "retrace=False."
        )
    model = Model(networks, config)
    rate = optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.horizon)
    adam = optax.adam(rate, b1=config.adam_b1, b2=config.adam_b2)
    # As in Acme, gradients of the policy and of the critic are clipped, but not those of the duals. A common
    # norm of temperatures and multipliers would be that of the largest gradient among them.
    clipped = optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), adam)
    method = _on_policy(module.ACTIONS) if config.on_policy else _off_policy(module.ACTIONS)
    parts = _Parts(model, module.ACTIONS, method, clipped, optax.adam(config.dual_learning_rate))
    init = functools.partial(init_state, model, parts.optimiser, parts.duals_optimiser)
    core = AgentCore(
        init=init,
        update=functools.partial(_update, parts),
        # The target policy acts, as in Acme's MPO. V-MPO needs this: its data must come from the prior.
        variables=lambda state: state.target_policy,
        act=functools.partial(continuous.act, model),
        perform=functools.partial(continuous.perform, model),
        log_prob=functools.partial(module.log_prob, model),
        # With several members in the network, it is not said which of them has learned.
        joining=make_joining(init) if config.num_members == 1 else None,
    )
    if networks.bounds is not None:
        return core._replace(choose=functools.partial(continuous.choose, model))
    return core._replace(**discrete.acting(model)._asdict())


def _off_policy(actions: Actions) -> _Method:
    """Returns the functions of MPO."""
    return _Method(actions.critic, actions.evaluate, actions.improve, actions.fit)


def _on_policy(actions: Actions) -> _Method:
    """Returns the functions of V-MPO."""
    evaluate = functools.partial(v_mpo.evaluate, actions)
    return _Method(v_mpo.value, evaluate, v_mpo.improve, functools.partial(v_mpo.fit, actions))


def _update(parts: _Parts, state: MPOState, batch: Transition) -> tuple[MPOState, Metrics]:
    """Runs one gradient step: critic, then E-step, M-step and duals if they are due, then target networks."""
    model, config = parts.model, parts.model.config
    chex.assert_rank([batch.now, batch.reward], 1)
    chex.assert_equal_shape([batch.now, batch.then, batch.reward, batch.discount, batch.weight])
    next_key, (key,) = random_keys.split(state.key, 1)
    state = state._replace(key=next_key)

    # Policy evaluation. V-MPO has no target critic: its advantages come from the online value.
    critic = state.critic if config.on_policy else state.target_critic
    evaluation = parts.method.evaluate(model, EvaluationParams(state.target_policy, critic), key, batch)
    state, critic_metrics = _update_critic(parts, state, evaluation.target, batch)

    # Policy improvement. It uses what was evaluated before the critic's step, so both can share the work.
    step = state.step + 1
    improve = functools.partial(_improve, parts, state, evaluation)
    if config.policy_delay == 1:
        changes, improve_metrics = improve()
    else:
        changes, improve_metrics = update_if(step % config.policy_delay == 0, improve, policy_part(state))
    state = state._replace(**changes._asdict())

    # Target networks. The target policy is the prior of the KL constraints, so they start anew at every copy.
    state = state._replace(
        step=step,
        target_policy=_renew(step, config.target_policy_period, state.policy, state.target_policy),
    )
    if not config.on_policy:
        target = _renew(step, config.target_critic_period, state.critic, state.target_critic)
        state = state._replace(target_critic=target)
    return state, {**critic_metrics, **improve_metrics}


def _improve(parts: _Parts, state: MPOState, evaluation: Evaluation) -> tuple[PolicyPart, Metrics]:
    """Updates the policy and then the duals, both on the same batch."""
    # The evaluated actions are data for the policy and the duals, so no gradient may flow back into them.
    batch = jax.lax.stop_gradient(evaluation.policy_batch())
    state, kls, policy_metrics = _update_policy(parts, state, batch)
    state, dual_metrics = _update_duals(parts, state, batch, kls)
    return policy_part(state), {**policy_metrics, **dual_metrics}


def _renew(step: jax.Array, period: int, online: Any, target: Any) -> Any:
    """Returns the online parameters every `period` steps, and the target's otherwise."""
    due = step % period == 0
    # A select instead of a branch: parameters are small, and under `vmap` a branch becomes a select anyway.
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), online, target)


def _update_critic(
    parts: _Parts, state: MPOState, target: jax.Array, batch: Transition
) -> tuple[MPOState, Metrics]:
    """Runs one gradient step of the critic towards the targets."""

    def loss(params: Any) -> tuple[jax.Array, jax.Array]:
        return critic_loss(params, parts.model, parts.method.critic, target, batch)

    step = make_update(loss, parts.optimiser)(state.critic, state.critic_optimiser)
    state = state._replace(critic=step.params, critic_optimiser=step.optimiser_state)
    return state, {"critic_loss": step.loss, "q": step.aux}


class _PolicyExtra(NamedTuple):
    """Parts of the policy's loss, the KLs `[R, D]` from the prior, and the mean entropy `[]` in nats."""

    policy_loss: jax.Array
    kl_loss: jax.Array
    kls: tuple[jax.Array, ...]
    entropy: jax.Array


def _update_policy(
    parts: _Parts, state: MPOState, batch: PolicyBatch
) -> tuple[MPOState, tuple[jax.Array, ...], Metrics]:
    """Runs the E-step and one gradient step of the M-step.

    Returns:
      (state, KLs `[R, D]` of the policy before the gradient step, metrics).
    """
    model, actions, method, *_ = parts

    # E-step: the improved policy as weights of actions, within a KL of the target policy.
    multipliers = duals.select(model.config, state.duals, batch.member)
    weights = method.improve(model, batch, multipliers).weights

    # M-step: fit the online policy to the weights, and pay for its own KL from the target policy.
    def loss(params: Any) -> tuple[jax.Array, _PolicyExtra]:
        online = actions.distribution(model, params, batch.observation)
        policy_loss = method.fit(model, batch.prior, online, batch, weights)
        kls = actions.kls(model, batch.prior, online)
        kl_loss, _ = penalties(kls, multipliers, actions.bounds(model.config), batch.share)
        entropy = jnp.sum(batch.share * actions.entropy(online))
        return policy_loss + kl_loss, _PolicyExtra(policy_loss, kl_loss, kls, entropy)

    step = make_update(loss, parts.optimiser)(state.policy, state.policy_optimiser)
    extra: _PolicyExtra = step.aux
    metrics = {"policy_loss": extra.policy_loss, "kl_loss": extra.kl_loss, "entropy": extra.entropy}
    state = state._replace(policy=step.params, policy_optimiser=step.optimiser_state)
    return state, extra.kls, metrics


def _update_duals(
    parts: _Parts, state: MPOState, batch: PolicyBatch, kls: tuple[jax.Array, ...]
) -> tuple[MPOState, Metrics]:
    """Runs one gradient step of the temperatures and the Lagrange multipliers.

    The E-step is repeated here because the temperatures' gradient flows through its normaliser.
    """
    model, actions, method, *_ = parts
    bounds = actions.bounds(model.config)

    def loss(raw: Duals) -> tuple[jax.Array, Duals]:
        multipliers = duals.select(model.config, raw, batch.member)
        # E-step's constraints: temperatures.
        constraints = method.improve(model, batch, multipliers).constraints
        temperatures = [temperature_loss(*constraint) for constraint in constraints]
        # M-step's constraints: Lagrange multipliers of the KLs.
        # The KLs are those from before the policy's step, which moved on the same batch.
        _, alphas = penalties(kls, multipliers, bounds, batch.share)
        return jnp.stack(temperatures).sum() + alphas, multipliers

    step = make_update(loss, parts.duals_optimiser)(state.duals, state.duals_optimiser)
    multipliers: Duals = step.aux
    metrics = {"dual_loss": step.loss, "temperature": jnp.sum(batch.share * multipliers.temperature)}
    for kl, alpha, (name, bound) in zip(kls, multipliers.alphas, bounds.items(), strict=True):
        share = batch.share[:, None]
        # A sum over shares and a mean over dimensions, so that the metric compares with one bound.
        metrics[f"kl_{name}"] = jnp.sum(share * kl) / kl.shape[-1]
        metrics[f"kl_{name}_bound"] = jnp.float32(bound)
        metrics[f"alpha_{name}"] = jnp.sum(share * alpha) / alpha.shape[-1]
    return state._replace(duals=duals.floor(step.params), duals_optimiser=step.optimiser_state), metrics
