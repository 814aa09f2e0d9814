"""Batches of decisions from the buffer, for gradient steps.

Dimensions: `P` = 2 players, `N` members, `U` gradient steps of a round, `B` decisions in a batch.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from acme_psro.neupl.parts import NeuPLState, Parts, Plan, observe
from acme_psro.oracles.device.ring import sample
from agents.core import Transition, join


def draw(parts: Parts, key: jax.Array) -> jax.Array:
    """Returns an axis `[U, ..]` of draws, each of which makes a batch.

    If the agent may learn from old decisions, a draw is a random key. Otherwise it is `[B]` int32, places in
    the buffer: batches take the decisions of the newest round by turns, in random order, so that all of them
    are used equally often.
    """
    config = parts.config
    if not parts.is_on_policy:
        return jax.random.split(key, config.updates_per_round)
    turns = jnp.arange(config.updates_per_round * config.batch_size) % parts.per_round
    order = jax.random.permutation(key, parts.per_round)
    return order[turns].reshape(config.updates_per_round, config.batch_size)


def make_batch(parts: Parts, state: NeuPLState, plan: Plan, drawn: jax.Array) -> Transition:
    """Returns decisions `[B]` of both players from the buffer.

    Args:
      parts: the parts of an epoch.
      state: has the buffer.
      plan: the members' rows.
      drawn: one of the draws, see `draw`.
    """
    if parts.is_on_policy:
        item = jax.tree.map(lambda leaf: leaf[drawn], state.buffer.items)
    else:
        item = sample(state.buffer, drawn, parts.config.batch_size)
    mixtures = jnp.moveaxis(state.drawn, 1, 0).reshape(2, -1, parts.config.population_size)
    all_rows = jnp.concatenate([plan.graph, mixtures], axis=1)
    rows = all_rows[parts.seats.player[item.infoset], item.member]
    # The information state after the end may be another player's, but it never counts.
    now, then = observe(parts, item.infoset, rows), observe(parts, item.next_infoset, rows)
    action = item.action.astype(jnp.int32)
    batch = join(now, action, item.reward, 1.0 - item.ended, then)
    return batch._replace(weight=item.weight)
