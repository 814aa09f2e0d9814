"""Update of CrossQ as an `AgentCore`, for discrete and for continuous actions.

Dimensions: `E` critics, `D` inputs and `H` units of a hidden layer.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from agents import random_keys
from agents.core import AgentCore, Key, Metrics, Transition
from agents.crossq import continuous, discrete, temperature
from agents.crossq.base import Actions, CriticExtra, Fitted, Model, PolicyExtra
from agents.crossq.config import CrossQConfig
from agents.crossq.networks import CrossQNetworks
from agents.gradients import make_update, update_if


class CrossQState(NamedTuple):
    """Training state of CrossQ.

    Attributes:
      policy_params: parameters of the policy.
      policy_stats: running statistics of the policy.
      policy_optimiser: state of the policy's Adam.
      critic_params: parameters of all critics, stacked along a leading axis `[E, ..]`.
      critic_stats: running statistics of all critics, stacked likewise.
      critic_optimiser: state of one Adam over all critics.
      temperature: weight of the policy's entropy, if it is learned, and the state of its Adam.
      key: `[2]` uint32, random key of the next update, as raw data so that checkpoints can hold it.
      step: `[]` int32, number of updates done.
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
    """Everything about an agent that its updates need and that never changes."""

    model: Model
    actions: Actions
    optimiser: optax.GradientTransformation


def make_core(networks: CrossQNetworks, config: CrossQConfig) -> AgentCore:
    """Makes CrossQ (Bhatt et al. 2024) as an `AgentCore`.

    Raises:
      ValueError: the temperature is learned and its target is not possible with this kind of actions.
    """
    _check_target(networks, config)
    model = Model(networks, config)
    module = discrete if networks.bounds is None else continuous
    # One optimiser serves the critics and the policy, each with a state of its own. The default momentum of
    # 0.5 is part of the published algorithm.
    optimiser = optax.adam(temperature.learning_rate(config), b1=config.adam_b1, b2=config.adam_b2)
    parts = _Parts(model, module.ACTIONS, optimiser)
    core = AgentCore(
        init=functools.partial(_init, parts),
        update=functools.partial(_update, parts),
        variables=_policy,
        act=functools.partial(continuous.act, model),
        perform=functools.partial(continuous.perform, model),
    )
    if networks.bounds is not None:
        return core
    return core._replace(**discrete.acting(model)._asdict())


def _check_target(networks: CrossQNetworks, config: CrossQConfig) -> None:
    """Raises ValueError if no policy with discrete actions could meet the target entropy."""
    if config.learn_temperature and networks.bounds is None and not 0 <= config.target_entropy <= 1:
        raise ValueError(
            "CrossQ's target_entropy is a share in [0, 1] if actions are discrete, not "
            f"{config.target_entropy}; set it, or learn_temperature=False."
        )


def _init(parts: _Parts, key: Key) -> CrossQState:
    """Returns the state before learning, with random networks."""
    networks, config = parts.model
    chex.assert_rank(key, {0, 1})
    policy_key, critic_key, update_key = jax.random.split(key, 3)
    policy_params, policy_stats = networks.policy.init(policy_key)
    # Critics must begin differently: equal ones would get equal gradients and stay equal, and their minimum
    # would not counter the overestimation of values.
    critic_keys = jax.random.split(critic_key, config.num_critics)
    critic_params, critic_stats = jax.vmap(networks.critic.init)(critic_keys)
    critic_params = _normalise(config, critic_params)
    return CrossQState(
        policy_params=policy_params,
        policy_stats=policy_stats,
        policy_optimiser=parts.optimiser.init(policy_params),
        critic_params=critic_params,
        critic_stats=critic_stats,
        critic_optimiser=parts.optimiser.init(critic_params),
        temperature=temperature.init(config),
        key=random_keys.to_raw(update_key),
        step=jnp.int32(0),
    )


def _update(parts: _Parts, state: CrossQState, batch: Transition) -> tuple[CrossQState, Metrics]:
    """Runs one gradient step: the critics, then the policy and the temperature if they are due."""
    config = parts.model.config
    chex.assert_rank([batch.now, batch.reward], 1)
    chex.assert_equal_shape([batch.now, batch.then, batch.reward, batch.discount, batch.weight])
    # Keys are split in every update, due or not, so that the random numbers do not depend on the delay.
    next_key, (critic_key, policy_key) = random_keys.split(state.key, 2)
    state, metrics = _update_critic(parts, state._replace(key=next_key), critic_key, batch)

    # Delayed updates as in TD3 (Fujimoto et al. 2018, section 5.2): the policy follows critics that have had
    # some steps to become accurate. The first update of the policy is at step `policy_delay`.
    due = (state.step + 1) % config.policy_delay == 0
    update_policy = functools.partial(_update_policy, parts, state, policy_key, batch)
    changes, policy_metrics = update_if(due, update_policy, _policy_part(state))
    state = state._replace(**changes._asdict())
    metrics = {**metrics, **policy_metrics, "temperature": _temperature(parts, state)}
    return state._replace(step=state.step + 1), metrics


def _update_critic(
    parts: _Parts, state: CrossQState, key: Key, batch: Transition
) -> tuple[CrossQState, Metrics]:
    """Runs one step of all critics, with targets from the current policy."""
    model, actions, optimiser = parts

    def loss(params: Any) -> tuple[jax.Array, CriticExtra]:
        return actions.critic_loss(params, state.critic_stats, following, weight, batch, model)

    # The policy is evaluated outside of the loss, because no gradient of the critics flows through it.
    following = actions.following(model, _policy(state), key, batch)
    weight = _temperature(parts, state)
    step = make_update(loss, optimiser)(state.critic_params, state.critic_optimiser)
    state = state._replace(
        critic_params=_normalise(model.config, step.params),
        # The joint pass changed the statistics once, with the parameters from before the step.
        critic_stats=step.aux.stats,
        critic_optimiser=step.optimiser_state,
    )
    return state, {"critic_loss": step.loss, "q": step.aux.q}


class _PolicyPart(NamedTuple):
    """Fields of `CrossQState` that an update of the policy changes, under the same names."""

    policy_params: Any
    policy_stats: Any
    policy_optimiser: Any
    temperature: temperature.Temperature


def _update_policy(
    parts: _Parts, state: CrossQState, key: Key, batch: Transition
) -> tuple[_PolicyPart, Metrics]:
    """Runs one step of the policy and of the temperature, with the critics that were just updated."""
    model, actions, optimiser = parts

    def loss(params: Any) -> tuple[jax.Array, PolicyExtra]:
        return actions.policy_loss(params, state.policy_stats, evaluated, weight, key, batch, model)

    weight = _temperature(parts, state)
    # The critics' parameters are those after their step, and their statistics include the current batch.
    critics = Fitted(state.critic_params, state.critic_stats)
    evaluated = actions.evaluate(model, critics, batch)
    step = make_update(loss, optimiser)(state.policy_params, state.policy_optimiser)
    extra = step.aux
    # The entropy was measured in the policy's loss, before its step.
    learned = temperature.update(model.config, state.temperature, extra.entropy, extra.target_entropy)
    changes = _PolicyPart(step.params, extra.stats, step.optimiser_state, learned)
    return changes, {"policy_loss": step.loss, "entropy": extra.entropy}


def _policy_part(state: CrossQState) -> _PolicyPart:
    """Returns the fields that an update of the policy changes."""
    return _PolicyPart(*(getattr(state, name) for name in _PolicyPart._fields))


def _policy(state: CrossQState) -> Fitted:
    """Returns the policy, which is all that an actor needs."""
    return Fitted(state.policy_params, state.policy_stats)


def _temperature(parts: _Parts, state: CrossQState) -> jax.Array:
    """Returns the temperature `[]` in use at the state's step."""
    return temperature.value(parts.model.config, state.temperature, state.step)


def _normalise(config: CrossQConfig, params: Any) -> Any:
    """Scales the weights `[E, D, H]` into every hidden unit to length 1, if the configuration asks for it.

    A normalisation follows every hidden layer, so the length of its weights does not change the output. It
    only changes how far an optimiser's step turns them (Palenicek et al. 2025, section 4). The last layer,
    which no normalisation follows, is left alone.
    """
    if not config.weight_norm:
        return params
    # Haiku names the first linear layer "linear", and later ones with their number.
    hidden = [f"linear_{i}" if i else "linear" for i in range(len(config.critic_hidden_sizes))]
    scaled = {}
    for name in hidden:
        weights = params[name]["w"]
        # Inputs are the second to last axis, so each column is the weights into one unit of one critic.
        length = jnp.linalg.norm(weights, axis=-2, keepdims=True)
        # A unit with weights of 0 stays as it is, since 0 / 0 would be NaN.
        scaled[name] = {**params[name], "w": weights / jnp.maximum(length, 1e-8)}
    return {**params, **scaled}
