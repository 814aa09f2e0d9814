"""MPO's and V-MPO's update as an `AgentCore`, for discrete and for continuous actions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.conditional_mpo import continuous, discrete, duals, improvement, on_policy
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.losses import (
    Improvement,
    Judged,
    Judgement,
    Judges,
    Kind,
    Setting,
    critic_loss,
    penalties,
)
from agents.conditional_mpo.networks import MPONetworks
from agents.conditional_mpo.state import MPOState, PolicyPart, init_state, policy_part
from agents.core import AgentCore, Metrics, Transition
from agents.gradients import make_update


class _Method(NamedTuple):
    """What differs between MPO and V-MPO, bound to a kind of actions.

    Attributes:
      critic: (setting, critic params, transition) -> `[B, Z]`.
      judge: (setting, Judges, key, transition) -> Judgement.
      improve: (setting, Judged, duals `[R]`) -> Improvement.
      fit: (setting, prior, online, Judged, weights) -> `[]`.
    """

    critic: Callable[..., jax.Array]
    judge: Callable[..., Judgement]
    improve: Callable[..., Improvement]
    fit: Callable[..., jax.Array]


class _Parts(NamedTuple):
    """What the functions below are bound to."""

    setting: Setting
    kind: Kind
    method: _Method
    optimiser: optax.GradientTransformation
    duals_optimiser: optax.GradientTransformation


def make_core(networks: MPONetworks, config: ConditionalMPOConfig) -> AgentCore:
    """MPO (Abdolmaleki et al. 2018a, 2018b), or V-MPO (Song et al. 2019), as an `AgentCore`.

    Raises:
      ValueError: settings that the kind of actions does not allow.
    """
    actions = discrete if networks.bounds is None else continuous
    if config.retrace and config.exploration > 0 and networks.bounds is not None:
        raise ValueError(
            "Retrace cannot tell how probable uniform continuous actions were: set exploration=0 or "
            "retrace=False."
        )
    setting = Setting(networks, config)
    rate = optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.horizon)
    adam = optax.adam(rate, b1=config.adam_b1, b2=config.adam_b2)
    clipped = optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), adam)
    method = _on_policy(actions.KIND) if config.on_policy else _off_policy(actions.KIND)
    parts = _Parts(setting, actions.KIND, method, clipped, optax.adam(config.dual_learning_rate))
    core = AgentCore(
        init=functools.partial(init_state, setting, parts.optimiser, parts.duals_optimiser),
        update=functools.partial(_update, parts),
        variables=lambda state: state.target_policy,
        act=functools.partial(actions.act, setting),
        perform=functools.partial(actions.perform, setting),
        log_prob=functools.partial(actions.log_prob, setting),
    )
    if networks.bounds is not None:
        return core
    return core._replace(
        behaviour=functools.partial(discrete.behaviour, setting),
        probs=functools.partial(discrete.probs, setting),
    )


def _off_policy(kind: Kind) -> _Method:
    return _Method(kind.critic, kind.judge, kind.improve, kind.fit)


def _on_policy(kind: Kind) -> _Method:
    judge = functools.partial(on_policy.judge, kind)
    return _Method(on_policy.value, judge, on_policy.improve, functools.partial(on_policy.fit, kind))


def _update(parts: _Parts, state: MPOState, batch: Transition) -> tuple[MPOState, Metrics]:
    setting, config = parts.setting, parts.setting.config
    next_key, key = jax.random.split(jax.random.wrap_key_data(state.key))
    state = state._replace(key=jax.random.key_data(next_key))
    critic = state.critic if config.on_policy else state.target_critic
    judgement = parts.method.judge(setting, Judges(state.target_policy, critic), key, batch)
    state, critic_metrics = _update_critic(parts, state, judgement.target, batch)
    step = state.step + 1
    improve = functools.partial(_improve, parts, state, judgement)
    if config.policy_delay == 1:
        changes, improve_metrics = improve()
    else:
        # What a branch returns is copied, so that critics must not pass through.
        leave = functools.partial(_leave, state, jax.eval_shape(lambda: improve()[1]))
        changes, improve_metrics = jax.lax.cond(step % config.policy_delay == 0, improve, leave)
    state = state._replace(**changes._asdict())
    state = state._replace(
        step=step,
        target_policy=_renew(step, config.target_policy_period, state.policy, state.target_policy),
    )
    if not config.on_policy:
        target = _renew(step, config.target_critic_period, state.critic, state.target_critic)
        state = state._replace(target_critic=target)
    return state, {**critic_metrics, **improve_metrics}


def _improve(parts: _Parts, state: MPOState, judgement: Judgement) -> tuple[PolicyPart, Metrics]:
    judged = jax.lax.stop_gradient(judgement.judged())
    state, kls, policy_metrics = _update_policy(parts, state, judged)
    state, dual_metrics = _update_duals(parts, state, judged, kls)
    return policy_part(state), {**policy_metrics, **dual_metrics}


def _leave(state: MPOState, metrics: Any) -> tuple[PolicyPart, Metrics]:
    """The policy as it was; its metrics `[]` are not numbers where it is not updated."""
    return policy_part(state), jax.tree.map(lambda each: jnp.full(each.shape, jnp.nan, each.dtype), metrics)


def _renew(step: jax.Array, period: int, online: Any, target: Any) -> Any:
    due = step % period == 0
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), online, target)


def _update_critic(
    parts: _Parts, state: MPOState, target: jax.Array, batch: Transition
) -> tuple[MPOState, Metrics]:
    def loss(params: Any) -> tuple[jax.Array, jax.Array]:
        return critic_loss(params, parts.setting, parts.method.critic, target, batch)

    value, q, critic, optimiser = make_update(loss, parts.optimiser)(state.critic, state.critic_optimiser)
    return state._replace(critic=critic, critic_optimiser=optimiser), {"critic_loss": value, "q": q}


class _PolicyExtra(NamedTuple):
    """Beside the policy's loss: its parts, the distances `[R, D]` and the mean entropy."""

    policy_loss: jax.Array
    kl_loss: jax.Array
    kls: tuple[jax.Array, ...]
    entropy: jax.Array


def _update_policy(
    parts: _Parts, state: MPOState, judged: Judged
) -> tuple[MPOState, tuple[jax.Array, ...], Metrics]:
    setting, kind, method, *_ = parts
    multipliers = duals.select(setting.config, state.duals, judged.member)
    weights = method.improve(setting, judged, multipliers).weights

    def loss(params: Any) -> tuple[jax.Array, _PolicyExtra]:
        online = kind.distribution(setting, params, judged.observation)
        policy_loss = method.fit(setting, judged.prior, online, judged, weights)
        kls = kind.kls(setting, judged.prior, online)
        kl_loss, _ = penalties(kls, multipliers, kind.bounds(setting.config), judged.share)
        entropy = jnp.sum(judged.share * kind.entropy(online))
        return policy_loss + kl_loss, _PolicyExtra(policy_loss, kl_loss, kls, entropy)

    update = make_update(loss, parts.optimiser)
    _, extra, policy, optimiser = update(state.policy, state.policy_optimiser)
    metrics = {"policy_loss": extra.policy_loss, "kl_loss": extra.kl_loss, "entropy": extra.entropy}
    return state._replace(policy=policy, policy_optimiser=optimiser), extra.kls, metrics


def _update_duals(
    parts: _Parts, state: MPOState, judged: Judged, kls: tuple[jax.Array, ...]
) -> tuple[MPOState, Metrics]:
    setting, kind, method, *_ = parts
    bounds = kind.bounds(setting.config)

    def loss(raw: Duals) -> tuple[jax.Array, Duals]:
        multipliers = duals.select(setting.config, raw, judged.member)
        constraints = method.improve(setting, judged, multipliers).constraints
        temperatures = [improvement.temperature_loss(*constraint) for constraint in constraints]
        _, alphas = penalties(kls, multipliers, bounds, judged.share)
        return jnp.stack(temperatures).sum() + alphas, multipliers

    value, multipliers, raw, optimiser = make_update(loss, parts.duals_optimiser)(
        state.duals, state.duals_optimiser
    )
    metrics = {"dual_loss": value, "temperature": jnp.sum(judged.share * multipliers.temperature)}
    for kl, alpha, (name, bound) in zip(kls, multipliers.alphas, bounds.items(), strict=True):
        share = judged.share[:, None]
        metrics[f"kl_{name}"] = jnp.sum(share * kl) / kl.shape[-1]
        metrics[f"kl_{name}_bound"] = jnp.float32(bound)
        metrics[f"alpha_{name}"] = jnp.sum(share * alpha) / alpha.shape[-1]
    return state._replace(duals=duals.floor(raw), duals_optimiser=optimiser), metrics
