"""The self-play agent as an `AgentCore`, which learns one player's decisions from batches of transitions.

It is the same agent, with the same losses, for Acme's learners and actors: the other players belong to the
environment. Batches must be fresh, as those of a queue: what is in them is used for one update.

Dimensions: `B` decisions in a batch, `U` observations.
"""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp

from agents.actions import discrete_acting
from agents.core import AgentCore, Metrics, Observation, Transition
from agents.networks import take_rows
from agents.self_play import losses
from agents.self_play.config import SelfPlayConfig
from agents.self_play.learning import learn
from agents.self_play.losses import Played
from agents.self_play.networks import SelfPlayNetworks
from agents.self_play.state import Parts, SelfPlayState, init, make_parts


def make_agent_core(networks: SelfPlayNetworks, config: SelfPlayConfig) -> AgentCore:
    """Returns the agent's functions, for Acme's learners and actors.

    Args:
      networks: as `make_networks` makes them with the same configuration.
      config: the agent's configuration.
    """

    def log_probs(params: object, observation: Observation) -> jax.Array:
        return networks.apply(params, observation).log_probs

    def log_prob(params: object, observation: Observation, action: jax.Array) -> jax.Array:
        return losses.take_actions(log_probs(params, observation), action)

    parts = make_parts(networks, config)
    return AgentCore(
        init=functools.partial(init, parts),
        update=functools.partial(_update, parts),
        variables=lambda state: state.params,
        **discrete_acting(log_probs, exploration=0.0)._asdict(),
        log_prob=log_prob,
    )


def _update(parts: Parts, state: SelfPlayState, batch: Transition) -> tuple[SelfPlayState, Metrics]:
    """Runs all gradient steps on one batch."""
    chex.assert_rank([batch.now, batch.reward], 1)
    output = parts.networks.apply(state.params, batch.observation)
    advantage = _advantages(parts.config, batch, output.value)
    log_probs = output.log_probs[batch.now]
    taken = losses.take_actions(log_probs, batch.action) if batch.log_prob is None else batch.log_prob
    played = Played(
        legal_actions=take_rows(batch.observation.legal_actions, batch.now),
        action=batch.action,
        # The policy that played is at most some updates old. Its KL is taken from the one of this moment.
        log_probs=log_probs,
        taken=taken,
        advantage=advantage,
        target=advantage + output.value[batch.now],
        weight=batch.weight,
        magnet=None,
    )
    # Sequences are padded at the end of a game, which must not make schedules faster.
    counted = jnp.sum(batch.weight > 0, dtype=jnp.int32)
    state, metrics = learn(parts, state, batch.observation, batch.now, played, counted)
    # Learners watch the metric of this name, whatever the agent.
    return state, {"critic_loss": metrics["value_loss"], **metrics}


def _advantages(config: SelfPlayConfig, batch: Transition, value: jax.Array) -> jax.Array:
    """Returns `[B]`, advantages of the decisions, estimated over as many as follow each other.

    Args:
      config: the agent's configuration.
      batch: the transitions.
      value: `[U]`, values at all observations.
    """
    discount = config.discount * batch.discount
    error = config.reward_scale * batch.reward + discount * value[batch.then] - value[batch.now]
    if batch.continues is None:
        return error
    decay = config.gae_lambda * discount * batch.continues

    def backward(later: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        error, decay = row
        advantage = error + decay * later
        return advantage, advantage

    _, advantage = jax.lax.scan(backward, jnp.zeros(()), (error, decay), reverse=True)
    return advantage
