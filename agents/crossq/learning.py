"""CrossQ's update as an `AgentCore`, the same for discrete and for continuous actions."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.core import AgentCore, Key, Metrics, Transition
from agents.crossq import continuous, discrete, temperature
from agents.crossq.config import CrossQConfig
from agents.crossq.losses import Actions, CriticExtra, Fitted, PolicyExtra, Setting
from agents.crossq.networks import CrossQNetworks
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
      temperature: what is learned of it.
      key: `[2]` uint32, of the actions drawn in the next update.
      step: `[]` int32, gradient steps done.
    """

    policy_params: Any
    policy_stats: Any
    policy_optimiser: Any
    critic_params: Any
    critic_stats: Any
    critic_optimiser: Any
    temperature: temperature.Temperature
    key: jax.Array
    step: jax.Array


class _Parts(NamedTuple):
    """What the functions below are bound to."""

    setting: Setting
    actions: Actions
    optimiser: optax.GradientTransformation


def make_core(networks: CrossQNetworks, config: CrossQConfig) -> AgentCore:
    """CrossQ (Bhatt et al. 2024) as an `AgentCore`.

    Raises:
      ValueError: a learned temperature with a target that the kind of actions cannot have.
    """
    _check_target(networks, config)
    setting = Setting(networks, config)
    kind = discrete if networks.bounds is None else continuous
    optimiser = optax.adam(temperature.learning_rate(config), b1=config.adam_b1, b2=config.adam_b2)
    parts = _Parts(setting, kind.ACTIONS, optimiser)
    core = AgentCore(
        init=functools.partial(_init, parts),
        update=functools.partial(_update, parts),
        variables=_policy,
        act=functools.partial(kind.act, setting),
        perform=functools.partial(kind.perform, setting),
    )
    if networks.bounds is not None:
        return core
    return core._replace(
        behaviour=functools.partial(discrete.behaviour, setting),
        probs=functools.partial(discrete.probs, setting),
    )


def _check_target(networks: CrossQNetworks, config: CrossQConfig) -> None:
    """Raises ValueError where no policy could meet the target entropy."""
    if config.learn_temperature and networks.bounds is None and not 0 <= config.target_entropy <= 1:
        raise ValueError(
            "CrossQ's target_entropy is a share in [0, 1] where actions are discrete, not "
            f"{config.target_entropy}; set it, or learn_temperature=False."
        )


def _init(parts: _Parts, key: Key) -> CrossQState:
    networks, config = parts.setting
    policy_key, critic_key, update_key = jax.random.split(key, 3)
    policy_params, policy_stats = networks.policy.init(policy_key)
    critic_keys = jax.random.split(critic_key, config.num_critics)
    critic_params, critic_stats = jax.vmap(networks.critic.init)(critic_keys)
    critic_params = _normalise(config, critic_params)
    if jnp.issubdtype(update_key.dtype, jax.dtypes.prng_key):
        update_key = jax.random.key_data(update_key)
    return CrossQState(
        policy_params=policy_params,
        policy_stats=policy_stats,
        policy_optimiser=parts.optimiser.init(policy_params),
        critic_params=critic_params,
        critic_stats=critic_stats,
        critic_optimiser=parts.optimiser.init(critic_params),
        temperature=temperature.init(config),
        key=update_key,
        step=jnp.int32(0),
    )


def _update(parts: _Parts, state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
    config = parts.setting.config
    next_key, critic_key, policy_key = jax.random.split(jax.random.wrap_key_data(state.key), 3)
    state = state._replace(key=jax.random.key_data(next_key))
    state, metrics = _update_critic(parts, state, critic_key, batch)
    due = (state.step + 1) % config.policy_delay == 0
    # What a branch returns is copied, so that critics must not pass through.
    update_policy = functools.partial(_update_policy, parts, state, policy_key, batch)
    changes, policy_metrics = jax.lax.cond(due, update_policy, functools.partial(_leave_policy, state))
    state = state._replace(**changes._asdict())
    metrics = {**metrics, **policy_metrics, "temperature": _temperature(parts, state)}
    return state._replace(step=state.step + 1), metrics


def _update_critic(
    parts: _Parts, state: CrossQState, key: Key, batch: Transition
) -> tuple[CrossQState, Metrics]:
    setting, actions, optimiser = parts

    def loss(params: Any) -> tuple[jax.Array, CriticExtra]:
        return actions.critic_loss(params, state.critic_stats, following, weight, batch, setting)

    following = actions.following(setting, _policy(state), key, batch)
    weight = _temperature(parts, state)
    value, extra, params, optimiser_state = make_update(loss, optimiser)(
        state.critic_params, state.critic_optimiser
    )
    state = state._replace(
        critic_params=_normalise(setting.config, params),
        critic_stats=extra.stats,
        critic_optimiser=optimiser_state,
    )
    return state, {"critic_loss": value, "q": extra.q}


class _PolicyPart(NamedTuple):
    """The fields of `CrossQState` that an update of the policy changes."""

    policy_params: Any
    policy_stats: Any
    policy_optimiser: Any
    temperature: temperature.Temperature


def _update_policy(
    parts: _Parts, state: CrossQState, key: Key, batch: Transition
) -> tuple[_PolicyPart, Metrics]:
    setting, actions, optimiser = parts

    def loss(params: Any) -> tuple[jax.Array, PolicyExtra]:
        return actions.policy_loss(params, state.policy_stats, evaluated, weight, key, batch, setting)

    weight = _temperature(parts, state)
    critics = Fitted(state.critic_params, state.critic_stats)
    evaluated = actions.evaluate(setting, critics, batch)
    value, extra, params, optimiser_state = make_update(loss, optimiser)(
        state.policy_params, state.policy_optimiser
    )
    learned = temperature.update(setting.config, state.temperature, extra.entropy, extra.target_entropy)
    changes = _PolicyPart(params, extra.stats, optimiser_state, learned)
    return changes, {"policy_loss": value, "entropy": extra.entropy}


def _leave_policy(state: CrossQState) -> tuple[_PolicyPart, Metrics]:
    unchanged = _PolicyPart(*(getattr(state, name) for name in _PolicyPart._fields))
    return unchanged, {"policy_loss": jnp.float32(jnp.nan), "entropy": jnp.float32(jnp.nan)}


def _policy(state: CrossQState) -> Fitted:
    return Fitted(state.policy_params, state.policy_stats)


def _temperature(parts: _Parts, state: CrossQState) -> jax.Array:
    return temperature.value(parts.setting.config, state.temperature, state.step)


def _normalise(config: CrossQConfig, params: Any) -> Any:
    """Brings the weights `[E, D, H]` into every hidden unit back to length 1, where asked for.

    A normalisation follows every hidden layer, so that their length changes no output but how far a step
    turns them (Palenicek et al. 2025, section 4). The last layer is left alone.
    """
    if not config.weight_norm:
        return params
    hidden = [f"linear_{i}" if i else "linear" for i in range(len(config.critic_hidden_sizes))]
    scaled = {}
    for name in hidden:
        weights = params[name]["w"]
        length = jnp.linalg.norm(weights, axis=-2, keepdims=True)
        scaled[name] = {**params[name], "w": weights / jnp.maximum(length, 1e-8)}
    return {**params, **scaled}
