"""Training of best responses on kept games: nothing is played while the agent learns.

Outcomes and their weights are data, so the program is traced once however many games are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.experience import Item, Role, make_batching, observe_all
from acme_psro.oracles.device.training import Snapshot
from agents.core import AgentCore, Metrics


class Lesson(NamedTuple):
    """Outcomes that an agent learns from.

    Attributes:
      items: `[M]`, outcomes of decisions with their weights.
      batches: `[snapshots, updates, B]` int32, the outcomes in every update, whose weights count no more;
        None
        if every update learns from all outcomes.
    """

    items: Item
    batches: jax.Array | None


class Fitted(NamedTuple):
    """Result of a training on a lesson.

    Attributes:
      state: the agent's state.
      snapshots: the policy in the course of training, with an axis `[snapshots]` in front.
    """

    state: Any
    snapshots: Snapshot


Fit = Callable[[jax.Array, jax.Array, Lesson], Fitted]


def make_fit(tree: GameTree, game: GameArrays, core: AgentCore, config: DeviceConfig) -> Fit:
    """Returns fit(key, player `[]` int32, lesson) -> Fitted.

    The function is pure, to be vmapped over tasks and jitted.
    """
    make_batch = make_batching(tree, game, config.batch_size)
    everywhere = jnp.arange(tree.num_infosets)
    updates = config.rounds_per_snapshot * config.updates_per_round

    def fit(key: jax.Array, player: jax.Array, lesson: Lesson) -> Fitted:
        chex.assert_rank(player, 0)
        role = Role(player, jnp.zeros((1, 0)))

        def update(state: Any, drawn: jax.Array | None) -> tuple[Any, Metrics]:
            item = lesson.items
            if drawn is not None:
                item = jax.tree.map(lambda leaf: leaf[drawn], item)
                item = item._replace(weight=jnp.ones_like(item.weight))
            return core.update(state, make_batch(role, item))

        def fit_to_snapshot(state: Any, drawn: jax.Array | None) -> tuple[Any, Snapshot]:
            state, metrics = jax.lax.scan(update, state, drawn, length=updates)
            observation = observe_all(game, everywhere, role.contexts)
            probs = core.probs(core.variables(state), observation)
            # Metrics are NaN at updates at which they were not due.
            return state, Snapshot(probs[None], jax.tree.map(jnp.nanmean, metrics))

        state, snapshots = jax.lax.scan(
            fit_to_snapshot, core.init(key), lesson.batches, length=config.num_snapshots
        )
        return Fitted(state, snapshots)

    return fit
