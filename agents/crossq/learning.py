"""CrossQ's update as an `AgentCore`."""

from __future__ import annotations

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


def make_core(networks: CrossQNetworks, config: CrossQConfig, example: Observation) -> AgentCore:
    """CrossQ for the observations that `example` (`[1, ..]`) is one of."""
    rate = optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.horizon)
    optimiser = optax.adam(rate, b1=config.adam_b1, b2=config.adam_b2)

    def temperature_at(step: jax.Array) -> jax.Array:
        progress = jnp.minimum(step / config.horizon, 1.0)
        return config.temperature * (config.final_temperature / config.temperature) ** progress

    def init(key: Key) -> CrossQState:
        policy_key, critic_key = jax.random.split(key)
        weight = jnp.ones(1)
        policy_params, policy_stats = networks.policy.init(policy_key, example, weight, False)
        critic_keys = jax.random.split(critic_key, config.num_critics)
        critic_params, critic_stats = jax.vmap(lambda key: networks.critic.init(key, example, weight, False))(
            critic_keys
        )
        return CrossQState(
            policy_params,
            policy_stats,
            optimiser.init(policy_params),
            critic_params,
            critic_stats,
            optimiser.init(critic_params),
            jnp.int32(0),
        )

    def critic_loss(
        params: Any, stats: Any, log_probs: jax.Array, temperature: jax.Array, batch: Transition
    ) -> tuple[jax.Array, losses.CriticExtra]:
        return losses.critic_loss(params, stats, log_probs, temperature, batch, networks, config)

    def policy_loss(
        params: Any, stats: Any, q: jax.Array, temperature: jax.Array, batch: Transition
    ) -> tuple[jax.Array, losses.PolicyExtra]:
        return losses.policy_loss(params, stats, q, temperature, batch, networks)

    update_critic_params = make_update(critic_loss, optimiser)
    update_policy_params = make_update(policy_loss, optimiser)

    def policy_log_probs(variables: CrossQVariables, observation: Observation) -> jax.Array:
        weight = jnp.ones(observation.info_state.shape[0])
        logits, _ = networks.policy.apply(*variables, observation, weight, False)
        return masked_log_probs(logits, observation.legal_actions)

    def update_critic(state: CrossQState, batch: Transition) -> tuple[CrossQState, jax.Array, jax.Array]:
        log_probs = policy_log_probs(variables(state), batch.next_observation)
        loss, extra, params, optimiser_state = update_critic_params(
            state.critic_params,
            state.critic_optimiser,
            state.critic_stats,
            log_probs,
            temperature_at(state.step),
            batch,
        )
        state = state._replace(
            critic_params=params, critic_stats=extra.stats, critic_optimiser=optimiser_state
        )
        return state, loss, extra.q

    def update_policy(state: CrossQState, batch: Transition) -> tuple[CrossQState, jax.Array, jax.Array]:
        q, _ = apply_critics(
            networks.critic,
            state.critic_params,
            state.critic_stats,
            batch.observation,
            batch.weight,
            False,
        )
        loss, extra, params, optimiser_state = update_policy_params(
            state.policy_params,
            state.policy_optimiser,
            state.policy_stats,
            losses.reduce_critics(q, config),
            temperature_at(state.step),
            batch,
        )
        state = state._replace(
            policy_params=params, policy_stats=extra.stats, policy_optimiser=optimiser_state
        )
        return state, loss, extra.entropy

    def leave_policy(state: CrossQState, batch: Transition) -> tuple[CrossQState, jax.Array, jax.Array]:
        del batch
        return state, jnp.float32(jnp.nan), jnp.float32(jnp.nan)

    def update(state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
        state, critic_value, q = update_critic(state, batch)
        due = (state.step + 1) % config.policy_delay == 0
        state, policy_value, entropy = jax.lax.cond(due, update_policy, leave_policy, state, batch)
        metrics = {
            "critic_loss": critic_value,
            "q": q,
            "policy_loss": policy_value,
            "entropy": entropy,
            "temperature": temperature_at(state.step),
        }
        return state._replace(step=state.step + 1), metrics

    def variables(state: CrossQState) -> CrossQVariables:
        return CrossQVariables(state.policy_params, state.policy_stats)

    def act(variables: CrossQVariables, key: Key, observation: Observation) -> jax.Array:
        probs = jnp.exp(policy_log_probs(variables, observation))
        legal = observation.legal_actions
        uniform = legal / jnp.maximum(legal.sum(axis=-1, keepdims=True), 1)
        mixed = (1 - config.exploration) * probs + config.exploration * uniform
        return jax.random.categorical(key, jnp.log(mixed)).astype(jnp.int32)

    def probs(variables: CrossQVariables, observation: Observation) -> jax.Array:
        log_probs = policy_log_probs(variables, observation)
        return jnp.where(observation.legal_actions, jnp.exp(log_probs), 0.0)

    return AgentCore(init, update, variables, act, probs)
