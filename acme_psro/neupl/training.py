"""Training of all members of both players in one network, an epoch as one compiled program.

The interaction graph, the members that learn and the members that are fixed are data, so that the program is
traced once, however they change (Liu et al. 2022, algorithms 4 and 5).

Dimensions: as in `acme_psro.neupl.playing`; `R` rounds in the buffer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games import rollout
from acme_psro.games.tree import GameTree
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.playing import Decisions, Matches, make_tables, play
from acme_psro.neupl.seats import Seats, make_contexts
from acme_psro.oracles.device.ring import Ring, add, make_ring, sample
from agents.core import AgentCore, Metrics, Observation, Transition, join


class Plan(NamedTuple):
    """The part of an epoch that depends on what has been learned before it.

    Attributes:
      graph: `[P, N, N]` float32, the interaction graph.
      share: `[P, N]` float32, each player's distribution over its members that learn.
      is_fixed: `[P, N]` bool, True for members that do not change any more, the sink among them.
      fixed: `[N, I, A]` float32, their policies for all players; arbitrary for other members.
    """

    graph: jax.Array
    share: jax.Array
    is_fixed: jax.Array
    fixed: jax.Array


class NeuPLState(NamedTuple):
    """Everything that an epoch needs from the epochs before it.

    Attributes:
      agent: the agent's state.
      buffer: the decisions of the last rounds.
      drawn: `[R, P, S, N]` float32, the mixtures that were drawn in these rounds.
      rounds: `[]` int32, the number of rounds so far.
    """

    agent: Any
    buffer: Ring
    drawn: jax.Array
    rounds: jax.Array


class Epoch(NamedTuple):
    """Result of an epoch.

    Attributes:
      state: the state after it.
      probs: `[N, I, A]` float32, the members' policies for all players.
      episodes: `[]` int32, the number of finished games.
      metrics: the agent's metrics, averaged over the epoch.
    """

    state: NeuPLState
    probs: jax.Array
    episodes: jax.Array
    metrics: Metrics


def make_matches(config: NeuPLConfig, graph: jax.Array, share: jax.Array, drawn: jax.Array) -> Matches:
    """Returns the distribution of one player's games.

    Args:
      config: the shares of the kinds of games.
      graph: `[N, N]`, the player's rows.
      share: `[N]`, its distribution over members that learn.
      drawn: `[S, N]`, the mixtures drawn for the round; none unless `config.simplex` is above 0.
    """
    rows = jnp.concatenate([graph, drawn])
    own = (1 - config.simplex) * share
    shares = jnp.concatenate([own, jnp.full(len(drawn), config.simplex / max(1, len(drawn)))])
    return Matches(
        weights=shares[:, None] * rows,
        trembles=jnp.tile(shares[:, None] / graph.shape[0], (1, graph.shape[0])),
        share=jnp.float32(config.trembles),
        tremble_weight=jnp.float32(config.tremble_weight),
    )


class Parts(NamedTuple):
    """Parts of an epoch that do not change.

    Attributes:
      game: the compiled game.
      seats: the players as the network sees them.
      core: the agent.
      config: the population and the budget.
      num_decisions: `D`, decisions of a game in a round; every game that is begun can end.
      held_rounds: `R`, rounds in the buffer.
      utility_scale: the game's largest return, by which rewards are divided.
    """

    game: rollout.GameArrays
    seats: Seats
    core: AgentCore
    config: NeuPLConfig
    num_decisions: int
    held_rounds: int
    utility_scale: float

    @property
    def per_round(self) -> int:
        """Returns the decisions of a round, of both players."""
        return 2 * self.config.num_envs * self.num_decisions


def make_parts(
    tree: GameTree, game: rollout.GameArrays, seats: Seats, core: AgentCore, config: NeuPLConfig
) -> Parts:
    """Returns the parts of an epoch in a two-player game."""
    num_decisions = max(len(offsets) - 1 for offsets in tree.level_offsets)
    held_rounds = max(1, config.buffer_size // (2 * config.num_envs * num_decisions))
    return Parts(game, seats, core, config, num_decisions, held_rounds, tree.utility_scale)


def init(parts: Parts, key: jax.Array) -> NeuPLState:
    """Returns the state before the first epoch."""
    number = jnp.int32(0)
    example = Decisions(
        number, jnp.int16(0), jnp.float32(0), jnp.bool_(False), number, jnp.float32(0), number
    )
    config = parts.config
    buffer = make_ring(example, parts.held_rounds * parts.per_round, 2 * config.num_envs)
    drawn = jnp.zeros((parts.held_rounds, 2, config.num_drawn, config.population_size))
    return NeuPLState(parts.core.init(key), buffer, drawn, jnp.int32(0))


def policies(parts: Parts, agent: Any, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns `[M, I, A]` twice, while learning and while opposing: policies for mixtures `[P, M, N]`."""
    variables = parts.core.variables(agent)
    everywhere = jnp.arange(len(parts.seats.player))

    def of_member(own: jax.Array) -> tuple[jax.Array, jax.Array]:
        observation = _observe(parts, everywhere, own[parts.seats.player])
        return parts.core.behaviour(variables, observation), parts.core.probs(variables, observation)

    # One member after the other: all of them at once would need much memory in large games.
    return jax.lax.map(of_member, jnp.swapaxes(rows, 0, 1))


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

        def update(agent: Any, key: jax.Array) -> tuple[Any, Metrics]:
            return parts.core.update(agent, _make_batch(parts, state, plan, key))

        keys = jax.random.split(learn_key, parts.config.updates_per_round)
        agent, metrics = jax.lax.scan(update, state.agent, keys)
        return state._replace(agent=agent), (episodes, metrics)

    keys = jax.random.split(key, parts.config.rounds)
    state, (episodes, metrics) = jax.lax.scan(train_round, state, keys)
    probs = _with_fixed(parts, plan, policies(parts, state.agent, plan.graph)[1])
    # Metrics are NaN at updates at which they were not due.
    return Epoch(state, probs, episodes.sum(), jax.tree.map(jnp.nanmean, metrics))


def _observe(parts: Parts, infoset: jax.Array, rows: jax.Array) -> Observation:
    """Returns observations at information states `[B]` of policies with mixtures `[B, N]`."""
    chex.assert_rank([infoset, rows], [1, 2])
    context = make_contexts(rows, parts.seats.context[infoset])
    seen = parts.game.info_state[parts.seats.seen[infoset]]
    return Observation(seen, parts.game.legal_actions[infoset], context)


def _with_fixed(parts: Parts, plan: Plan, probs: jax.Array) -> jax.Array:
    """Returns `[N, I, A]`: the network's policies, those of fixed members replaced."""
    is_fixed = plan.is_fixed[parts.seats.player].T
    return jnp.where(is_fixed[:, :, None], plan.fixed, probs)


def _play_round(parts: Parts, key: jax.Array, state: NeuPLState, plan: Plan) -> tuple[NeuPLState, jax.Array]:
    """Returns the state with a round of games in its buffer, and the number of games that ended."""
    config, num, num_drawn = parts.config, parts.config.population_size, parts.config.num_drawn
    draw_key, play_key = jax.random.split(key)
    drawn = jax.random.dirichlet(draw_key, jnp.ones(num), (2, num_drawn))
    rows = jnp.concatenate([plan.graph, drawn], axis=1)
    behaviour, probs = policies(parts, state.agent, rows)
    tables = make_tables(parts.game, behaviour, _with_fixed(parts, plan, probs[:num]))

    def play_as(player: jax.Array, key: jax.Array) -> tuple[Decisions, jax.Array]:
        matches = make_matches(config, plan.graph[player], plan.share[player], drawn[player])
        return play(parts.game, tables, matches, player, key, config.num_envs, parts.num_decisions)

    decisions, episodes = jax.vmap(play_as)(jnp.arange(2), jax.random.split(play_key))
    slot = state.rounds % parts.held_rounds
    member = decisions.member
    decisions = decisions._replace(
        # Mixtures are numbered over all rounds in the buffer, after the members.
        member=jnp.where(member < num, member, member + slot * num_drawn),
        reward=decisions.reward / parts.utility_scale,
    )
    blocks = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(parts.num_decisions, -1), decisions)
    buffer, _ = jax.lax.scan(lambda ring, block: (add(ring, block), None), state.buffer, blocks)
    after = NeuPLState(state.agent, buffer, state.drawn.at[slot].set(drawn), state.rounds + 1)
    return after, episodes.sum()


def _make_batch(parts: Parts, state: NeuPLState, plan: Plan, key: jax.Array) -> Transition:
    """Returns decisions of both players, drawn evenly from the buffer."""
    item = sample(state.buffer, key, parts.config.batch_size)
    drawn = jnp.moveaxis(state.drawn, 1, 0).reshape(2, -1, parts.config.population_size)
    all_rows = jnp.concatenate([plan.graph, drawn], axis=1)
    rows = all_rows[parts.seats.player[item.infoset], item.member]
    # The information state after the end may be another player's, but it never counts.
    now, then = _observe(parts, item.infoset, rows), _observe(parts, item.next_infoset, rows)
    action = item.action.astype(jnp.int32)
    batch = join(now, action, item.reward, 1.0 - item.ended, then)
    return batch._replace(weight=item.weight)
