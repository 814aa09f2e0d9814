"""Training of all members of both players in one network, an epoch as one compiled program.

The interaction graph, the members that learn and the members that are fixed are data, so that the program is
traced once, however they change (Liu et al. 2022, algorithms 4 and 5).

Dimensions: as in `acme_psro.neupl.playing`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.neupl import batches, estimation
from acme_psro.neupl.parts import NeuPLState, Parts, Plan, observe
from acme_psro.neupl.playing import Decisions, make_matches, make_tables, play
from acme_psro.oracles.device.ring import add, make_ring
from agents.core import Metrics


class Epoch(NamedTuple):
    """Result of an epoch.

    Attributes:
      state: the state after it.
      probs: `[N, I, A]` float32, the members' policies for all players.
      episodes: `[]` int32, the number of finished games.
      metrics: the agent's metrics, averaged over the epoch.
      payoffs: `[P, N, N]` float32, the members' payoffs as they are estimated, in utility units; None if they
        are not.
    """

    state: NeuPLState
    probs: jax.Array
    episodes: jax.Array
    metrics: Metrics
    payoffs: jax.Array | None = None


def init(parts: Parts, key: jax.Array) -> NeuPLState:
    """Returns the state before the first epoch."""
    number = jnp.int32(0)
    example = Decisions(
        number, jnp.int16(0), jnp.float32(0), jnp.bool_(False), number, jnp.float32(0), number
    )
    config = parts.config
    buffer = make_ring(example, parts.held_rounds * parts.per_round, 2 * config.num_envs)
    drawn = jnp.zeros((parts.held_rounds, 2, config.num_drawn, config.population_size))
    known = None
    if parts.estimating is not None:
        key, estimator_key = jax.random.split(key)
        known = estimation.init(parts.estimating, estimator_key)
    return NeuPLState(parts.core.init(key), buffer, drawn, jnp.int32(0), known)


def policies(parts: Parts, agent: Any, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns `[M, I, A]` twice, while learning and while opposing: policies for mixtures `[P, M, N]`."""
    variables = parts.core.variables(agent)
    spread, num = parts.spread, len(parts.seats.player)
    everywhere = jnp.arange(num)
    if spread is not None:
        # Every device computes as many rows; those beyond the last are cut off.
        everywhere = spread.rows(jnp.arange(num + -num % spread.size) % num)

    def of_member(own: jax.Array) -> tuple[jax.Array, jax.Array]:
        observation = observe(parts, everywhere, own[parts.seats.player[everywhere]])
        return parts.core.behaviour(variables, observation), parts.core.probs(variables, observation)

    # One member after the other: all of them at once would need much memory in large games.
    behaviour, probs = jax.lax.map(of_member, jnp.swapaxes(rows, 0, 1))
    if spread is not None:
        behaviour, probs = spread.whole((behaviour[:, :num], probs[:, :num]))
    return behaviour, probs


def train_epoch(parts: Parts, key: jax.Array, state: NeuPLState, plan: Plan) -> Epoch:
    """Trains all members that learn, for an epoch.

    Args:
      parts: static; the function is to be jitted over the other arguments.
      key: the random key.
      state: the state after the epoch before.
      plan: the graph and the members that learn.
    """
    num = parts.config.population_size
    chex.assert_shape(plan.graph, (2, num, num))
    chex.assert_shape([plan.share, plan.is_fixed], (2, num))

    def train_round(state: NeuPLState, key: jax.Array) -> tuple[NeuPLState, tuple[jax.Array, Metrics]]:
        play_key, learn_key = jax.random.split(key)
        state, episodes = _play_round(parts, play_key, state, plan)

        def update(agent: Any, drawn: jax.Array) -> tuple[Any, Metrics]:
            return parts.core.update(agent, batches.make_batch(parts, state, plan, drawn))

        agent, metrics = jax.lax.scan(update, state.agent, batches.draw(parts, learn_key))
        return state._replace(agent=agent), (episodes, metrics)

    keys = jax.random.split(key, parts.config.rounds)
    state, (episodes, metrics) = jax.lax.scan(train_round, state, keys)
    probs = _with_fixed(parts, plan, policies(parts, state.agent, plan.graph)[1])
    payoffs = None
    if parts.estimating is not None and state.estimation is not None:
        payoffs = estimation.payoffs_of(parts.estimating, state.estimation, plan.graph)
    # Metrics are NaN at updates at which they were not due.
    return Epoch(state, probs, episodes.sum(), jax.tree.map(jnp.nanmean, metrics), payoffs)


def _with_fixed(parts: Parts, plan: Plan, probs: jax.Array) -> jax.Array:
    """Returns `[N, I, A]`: the network's policies, those of fixed members replaced."""
    is_fixed = plan.is_fixed[parts.seats.player].T
    return jnp.where(is_fixed[:, :, None], plan.fixed, probs)


def _play_round(parts: Parts, key: jax.Array, state: NeuPLState, plan: Plan) -> tuple[NeuPLState, jax.Array]:
    """Returns the state with a round of games in its buffer, and the number of games that ended."""
    config, num, num_drawn = parts.config, parts.config.population_size, parts.config.num_drawn
    draw_key, play_key, *more = jax.random.split(key, 2 if parts.estimating is None else 3)
    drawn = jax.random.dirichlet(draw_key, jnp.ones(num), (2, num_drawn))
    rows = jnp.concatenate([plan.graph, drawn], axis=1)
    behaviour, probs = policies(parts, state.agent, rows)
    tables = make_tables(parts.game, behaviour, _with_fixed(parts, plan, probs[:num]))

    def play_as(player: jax.Array, key: jax.Array) -> tuple[Decisions, jax.Array]:
        matches = make_matches(config, plan.graph[player], plan.share[player], drawn[player])
        spread = None if parts.spread is None else parts.spread.rows
        return play(parts.game, tables, matches, player, key, config.num_envs, parts.num_decisions, spread)

    decisions, episodes = jax.vmap(play_as)(jnp.arange(2), jax.random.split(play_key))
    slot = state.rounds % parts.held_rounds
    member = decisions.member
    decisions = decisions._replace(
        # Mixtures are numbered over all rounds in the buffer, after the members.
        member=jnp.where(member < num, member, member + slot * num_drawn),
        reward=decisions.reward / parts.utility_scale,
    )
    blocks = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(parts.num_decisions, -1), decisions)
    if parts.spread is not None:
        blocks = parts.spread.whole(blocks)
    buffer, _ = jax.lax.scan(lambda ring, block: (add(ring, block), None), state.buffer, blocks)
    num_episodes, known = episodes.sum(), state.estimation
    if parts.estimating is not None and known is not None:
        known = estimation.learn(parts.estimating, parts.game, known, tables.opposing, plan.graph, more[0])
        num_episodes += parts.estimating.num_games
    held = state.drawn.at[slot].set(drawn)
    return NeuPLState(state.agent, buffer, held, state.rounds + 1, known), num_episodes
