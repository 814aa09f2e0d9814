"""CrossQ's update as an `AgentCore`."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.core import AgentCore, Key, Metrics, Observation, Transition
from agents.crossq import losses
from agents.crossq.config import CrossQConfig
from agents.crossq.networks import CrossQNetworks, apply_critics, masked_log_probs
from agents.gradients import make_update


class CrossQState(NamedTuple):
    """Everything CrossQ learns.

    Attributes:
      policy_params: parameters of the policy.
      policy_stats: its running statistics.
      policy_optimiser: state of its Adam.
      critic_params: of all critics, stacked along a leading axis `[E, ..]`.
      critic_stats: likewise.
      critic_optimiser: one Adam over all critics.
      step: `[]` int32, gradient steps done.
    """

    policy_params: Any
    policy_stats: Any
    policy_optimiser: Any
    critic_params: Any
    critic_stats: Any
    critic_optimiser: Any
    step: jax.Array


class CrossQVariables(NamedTuple):
    """What acting needs: the policy with its running statistics."""

    params: Any
    stats: Any


class _Parts(NamedTuple):
    """What the functions below are bound to."""

    networks: CrossQNetworks
    config: CrossQConfig
    optimiser: optax.GradientTransformation


def make_core(networks: CrossQNetworks, config: CrossQConfig) -> AgentCore:
    """CrossQ (Bhatt et al. 2024) with discrete actions as an `AgentCore`."""
    rate = optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.horizon)
    parts = _Parts(networks, config, optax.adam(rate, b1=config.adam_b1, b2=config.adam_b2))
    return AgentCore(
        init=functools.partial(_init, parts),
        update=functools.partial(_update, parts),
        variables=_variables,
        behaviour=functools.partial(_behaviour, parts),
        act=functools.partial(_act, parts),
        probs=functools.partial(_probs, parts),
    )


def temperature_at(config: CrossQConfig, step: jax.Array) -> jax.Array:
    """The temperature after so many gradient steps, in units of reward."""
    progress = jnp.minimum(step / config.horizon, 1.0)
    return config.temperature * (config.final_temperature / config.temperature) ** progress


def _init(parts: _Parts, key: Key) -> CrossQState:
    policy_key, critic_key = jax.random.split(key)
    policy_params, policy_stats = parts.networks.policy.init(policy_key)
    critic_keys = jax.random.split(critic_key, parts.config.num_critics)
    critic_params, critic_stats = jax.vmap(parts.networks.critic.init)(critic_keys)
    return CrossQState(
        policy_params=policy_params,
        policy_stats=policy_stats,
        policy_optimiser=parts.optimiser.init(policy_params),
        critic_params=critic_params,
        critic_stats=critic_stats,
        critic_optimiser=parts.optimiser.init(critic_params),
        step=jnp.int32(0),
    )


def _update(parts: _Parts, state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
    state, metrics = _update_critic(parts, state, batch)
    due = (state.step + 1) % parts.config.policy_delay == 0
    update_policy = functools.partial(_update_policy, parts)
    state, policy_metrics = jax.lax.cond(due, update_policy, _leave_policy, state, batch)
    temperature = temperature_at(parts.config, state.step)
    metrics = {**metrics, **policy_metrics, "temperature": temperature}
    return state._replace(step=state.step + 1), metrics


def _update_critic(parts: _Parts, state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
    networks, config, optimiser = parts

    def loss(params: Any) -> tuple[jax.Array, losses.CriticExtra]:
        return losses.critic_loss(params, state.critic_stats, log_probs, temperature, batch, networks, config)

    log_probs = _log_probs(parts, _variables(state), batch.observation)
    temperature = temperature_at(config, state.step)
    update = make_update(loss, optimiser)
    value, extra, params, optimiser_state = update(state.critic_params, state.critic_optimiser)
    state = state._replace(critic_params=params, critic_stats=extra.stats, critic_optimiser=optimiser_state)
    return state, {"critic_loss": value, "q": extra.q}


def _update_policy(parts: _Parts, state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
    networks, config, optimiser = parts

    def loss(params: Any) -> tuple[jax.Array, losses.PolicyExtra]:
        reduced = losses.reduce_critics(q, config)
        return losses.policy_loss(params, state.policy_stats, reduced, temperature, batch, networks)

    temperature = temperature_at(config, state.step)
    critics = (networks.critic, state.critic_params, state.critic_stats)
    q, _ = apply_critics(*critics, batch.observation, _evenly(batch.observation), False)
    update = make_update(loss, optimiser)
    value, extra, params, optimiser_state = update(state.policy_params, state.policy_optimiser)
    state = state._replace(policy_params=params, policy_stats=extra.stats, policy_optimiser=optimiser_state)
    return state, {"policy_loss": value, "entropy": extra.entropy}


def _leave_policy(state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
    del batch
    return state, {"policy_loss": jnp.float32(jnp.nan), "entropy": jnp.float32(jnp.nan)}


def _variables(state: CrossQState) -> CrossQVariables:
    return CrossQVariables(state.policy_params, state.policy_stats)


def _log_probs(parts: _Parts, variables: CrossQVariables, observation: Observation) -> jax.Array:
    logits, _ = parts.networks.policy.apply(*variables, observation, _evenly(observation), False)
    return masked_log_probs(logits, observation.legal_actions)


def _evenly(observation: Observation) -> jax.Array:
    return jnp.ones(observation.info_state.shape[0])


def _behaviour(parts: _Parts, variables: CrossQVariables, observation: Observation) -> jax.Array:
    legal = observation.legal_actions
    uniform = legal / jnp.maximum(legal.sum(axis=-1, keepdims=True), 1)
    exploration = parts.config.exploration
    return (1 - exploration) * _probs(parts, variables, observation) + exploration * uniform


def _act(parts: _Parts, variables: CrossQVariables, key: Key, observation: Observation) -> jax.Array:
    return jax.random.categorical(key, jnp.log(_behaviour(parts, variables, observation)))


def _probs(parts: _Parts, variables: CrossQVariables, observation: Observation) -> jax.Array:
    log_probs = _log_probs(parts, variables, observation)
    return jnp.where(observation.legal_actions, jnp.exp(log_probs), 0.0)
