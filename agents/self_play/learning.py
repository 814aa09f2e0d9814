"""Updates of the self-play agent: epochs of minibatches over the decisions of one rollout.

Dimensions: `T` decisions in a row in each of `E` games, `B = T * E`; `U` observations, `A` actions, `P`
players.
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
from agents.core import Key, Metrics, Observation
from agents.networks import take_rows
from agents.self_play import losses
from agents.self_play.advantages import own_advantages
from agents.self_play.config import SelfPlayConfig
from agents.self_play.losses import Played
from agents.self_play.networks import Output, SelfPlayNetworks
from agents.self_play.state import (
    Parts,
    Schedule,
    SelfPlayState,
    init,
    make_parts,
    renew_magnet,
    schedule,
)


class Rollout(NamedTuple):
    """Decisions of all players in games that were played by the current policy.

    Observations are stored apart from the decisions, which refer to them by row, so that networks process
    each row once if a game has few observations.

    Attributes:
      observation: `[U, ..]`.
      row: `[T, E]` int32, the row observed at each decision.
      player: `[T, E]` int32, the player who decides.
      action: `[T, E]` int32, the action taken.
      log_probs: `[T, E, A]` float32, log probabilities of the policy that played.
      value: `[T, E]` float32, values of the network that played.
      reward: `[T, E, P]` float32, rewards of all players up to the next decision of any player.
      ended: `[T, E]` bool, True if the game ended before the next decision.
      weight: `[T, E]` float32, each decision's weight in the losses; None if all count.
    """

    observation: Observation
    row: jax.Array
    player: jax.Array
    action: jax.Array
    log_probs: jax.Array
    value: jax.Array
    reward: jax.Array
    ended: jax.Array
    weight: jax.Array | None = None


class SelfPlayCore(NamedTuple):
    """Functions of the agent.

    Attributes:
      init: key -> state.
      update: (state, Rollout) -> (state, metrics): all gradient steps on one rollout.
      evaluate: (params, observations `[U, ..]`) -> Output.
    """

    init: Callable[[Key], SelfPlayState]
    update: Callable[[SelfPlayState, Rollout], tuple[SelfPlayState, Metrics]]
    evaluate: Callable[[Any, Observation], Output]


def make_core(networks: SelfPlayNetworks, config: SelfPlayConfig) -> SelfPlayCore:
    """Returns the agent's functions.

    Args:
      networks: as `make_networks` makes them with the same configuration.
      config: the agent's configuration.
    """
    parts = make_parts(networks, config)
    return SelfPlayCore(functools.partial(init, parts), functools.partial(_update, parts), networks.apply)


def _update(parts: Parts, state: SelfPlayState, rollout: Rollout) -> tuple[SelfPlayState, Metrics]:
    """Learns from one rollout."""
    config = parts.config
    chex.assert_equal_shape([rollout.row, rollout.player, rollout.action, rollout.value, rollout.ended])
    estimates = own_advantages(
        rollout.player, rollout.reward, rollout.ended, rollout.value, config.discount, config.gae_lambda
    )
    advantage, target, weight, row, action = (
        leaf.reshape(-1) for leaf in (*estimates, rollout.row, rollout.action)
    )
    if rollout.weight is not None:
        weight = weight * rollout.weight.reshape(-1)
    log_probs = rollout.log_probs.reshape(row.size, -1)
    played = Played(
        legal_actions=rollout.observation.legal_actions[row],
        action=action,
        log_probs=log_probs,
        taken=losses.take_actions(log_probs, action),
        advantage=advantage,
        target=target,
        weight=weight,
        magnet=None,
    )
    return learn(parts, state, rollout.observation, row, played)


def learn(
    parts: Parts,
    state: SelfPlayState,
    observation: Observation,
    rows: jax.Array,
    played: Played,
    counted: jax.Array | None = None,
) -> tuple[SelfPlayState, Metrics]:
    """Runs all epochs of gradient steps on some decisions, then renews the magnet if it is due.

    Args:
      parts: the agent's parts.
      state: the training state.
      observation: `[U, ..]`.
      rows: `[B]` int32, the row observed at each decision.
      played: `[B, ..]`, the decisions, without the magnet.
      counted: `[]` int32, the number of decisions by which schedules advance; None for all of them.

    Raises:
      ValueError: the decisions cannot be split into minibatches.
    """
    config, num = parts.config, rows.size
    if num % config.minibatches:
        raise ValueError(
            f"{num} decisions cannot be split into {config.minibatches} minibatches: choose a number that "
            "divides them."
        )
    next_key, (key,) = random_keys.split(state.key, 1)
    decisions = state.decisions + (num if counted is None else counted)
    state = state._replace(key=next_key, updates=state.updates + 1, decisions=decisions)
    now = schedule(config, state.decisions)
    if config.has_magnet:
        # It does not change within an update.
        magnet = look(parts.networks, state.magnet, observation, rows).log_probs
        played = played._replace(magnet=magnet)

    def step(state: SelfPlayState, chosen: jax.Array) -> tuple[SelfPlayState, Metrics]:
        minibatch: tuple[jax.Array, Played] = jax.tree.map(lambda leaf: leaf[chosen], (rows, played))
        return _gradient_step(parts, state, now, observation, *minibatch)

    orders = [jax.random.permutation(each, num) for each in jax.random.split(key, config.epochs)]
    chosen = jnp.stack(orders).reshape(config.epochs * config.minibatches, -1)
    state, metrics = jax.lax.scan(step, state, chosen)
    return renew_magnet(config, state), jax.tree.map(jnp.mean, metrics)


def _gradient_step(
    parts: Parts,
    state: SelfPlayState,
    now: Schedule,
    observation: Observation,
    rows: jax.Array,
    played: Played,
) -> tuple[SelfPlayState, Metrics]:
    """Runs one gradient step on a minibatch."""
    if parts.config.normalise:
        played = played._replace(advantage=losses.normalise(played.advantage, played.weight))

    def loss(params: Any) -> tuple[jax.Array, losses.Terms]:
        output = look(parts.networks, params, observation, rows)
        return losses.total(output.log_probs, output.value, played, now.by)

    (value, terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    direction, optimiser = parts.optimiser.update(gradient, state.optimiser, state.params)
    step = jax.tree.map(lambda leaf: -now.learning_rate * leaf, direction)
    state = state._replace(params=optax.apply_updates(state.params, step), optimiser=optimiser)
    return state, {"loss": value, **terms._asdict()}


def look(networks: SelfPlayNetworks, params: Any, observation: Observation, rows: jax.Array) -> Output:
    """Returns the network's output at rows `[B]` of the observations."""
    # Shapes are static, so this is decided while tracing.
    if observation.info_state.shape[0] <= rows.size:
        output = networks.apply(params, observation)
        return Output(output.log_probs[rows], output.value[rows])
    return networks.apply(params, take_rows(observation, rows))
