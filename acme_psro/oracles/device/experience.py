"""Experience of the learning player on the device: observing, acting, and the items that are replayed.

One agent may be many policies: its `members`, distinguished by their contexts. A profile of opponents belongs
to a member, which plays every game against it. All members' games are played and replayed side by side.

Dimensions: `B` games or decisions, `K` opponent profiles, `M` members, `C` numbers of context; others as in
`acme_psro.games.tree`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games import device_moves, rollout
from acme_psro.games.compiled import CompiledGame
from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.device_moves import Games
from acme_psro.games.profiles import Profiles, cumulative
from acme_psro.oracles.device.ring import Ring, add
from agents.core import AgentCore, Observation, Transition, join


class Role(NamedTuple):
    """The learning player and its members.

    Attributes:
      player: `[]` int32.
      contexts: `[M, C]` float32, each member's observation beside the information state.
    """

    player: jax.Array
    contexts: jax.Array


class TrainingTask(NamedTuple):
    """A learning player and its opponents.

    Attributes:
      role: the learning player.
      profiles: its opponents.
      members: `[K]` int32, the member that plays each profile.
      decision_weights: `[K]` float32, the weight of decisions against each profile.
      hull: `[H, R, A]` float32, policies from which the player is to differ; None if it need not.
    """

    role: Role
    profiles: Profiles
    members: jax.Array
    decision_weights: jax.Array
    hull: jax.Array | None = None


class Item(NamedTuple):
    """A transition as the buffer keeps it: information states by number, contexts by member.

    The member is None if there is only one: storing and sampling it would cost time.
    """

    infoset: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    next_infoset: jax.Array
    weight: jax.Array
    member: jax.Array | None


def example_item(role: Role) -> Item:
    """Returns an item from which the buffer takes its shapes and types."""
    number, real = jnp.int32(0), jnp.float32(0)
    member = number if len(role.contexts) > 1 else None
    return Item(number, number, real, real, number, real, member)


class Experience(NamedTuple):
    """State of acting: the games in progress and the experience collected so far.

    Attributes:
      games: the games in progress.
      buffer: the replay buffer, of `Item`.
      episodes: `[]` int32, the number of finished games.
    """

    games: Games
    buffer: Ring
    episodes: jax.Array


def observe(game: GameArrays, infoset: jax.Array, context: jax.Array) -> Observation:
    """Returns the observations of movers at information states `[B]` with contexts `[B, C]`."""
    chex.assert_rank([infoset, context], [1, 2])
    return Observation(game.info_state[infoset], game.legal_actions[infoset], context)


def observe_all(game: GameArrays, infoset: jax.Array, contexts: jax.Array) -> Observation:
    """Returns `[M * B, ..]`: each member's observations at information states `[B]`, member by member."""
    return observe(game, jnp.tile(infoset, len(contexts)), jnp.repeat(contexts, len(infoset), axis=0))


def _contexts_of(role: Role, member: jax.Array | None, num: int) -> jax.Array:
    """Returns the contexts `[num, C]` of `num` decisions."""
    return jnp.repeat(role.contexts, num, axis=0) if member is None else role.contexts[member]


class _OwnRows:
    """Rows of a player's information states in `observe_all`, the same number for every player.

    The player is data, so shapes must not depend on it: every player gets as many rows as the largest needs.
    """

    def __init__(self, compiled: CompiledGame) -> None:
        slices = [compiled.rows_of(player) for player in range(compiled.num_players)]
        self.first = jnp.array([rows.start for rows in slices], jnp.int32)
        self.most = max(rows.stop - rows.start for rows in slices)
        self._last = compiled.num_rows - 1

    def observe(self, game: GameArrays, role: Role) -> Observation:
        """Returns `[M * most, ..]`, padded with information states that are not the player's."""
        infoset = jnp.minimum(self.first[role.player] + jnp.arange(self.most), self._last)
        return observe_all(game, infoset, role.contexts)

    def row(self, role: Role, infoset: jax.Array, member: jax.Array | None) -> jax.Array:
        """Returns `[B]`: the rows of members at the player's information states; arbitrary at others."""
        row = infoset - self.first[role.player]
        return row if member is None else member * self.most + row


Choose = Callable[[Role, Any, jax.Array, jax.Array, jax.Array | None], jax.Array]


def make_choice(compiled: CompiledGame, game: GameArrays, core: AgentCore, num_envs: int) -> Choose:
    """Returns (role, agent's variables, key, information states `[B]`, members) -> actions `[B]`.

    Members are `[B]`, or None if there is only one. If a player's information states, counted once for every
    member, are fewer than games, the network is evaluated once for each information state instead.
    """
    own = _OwnRows(compiled)

    def by_table(
        role: Role, variables: Any, key: jax.Array, infoset: jax.Array, member: jax.Array | None
    ) -> jax.Array:
        behaviour = cumulative(core.behaviour(variables, own.observe(game, role)))
        # Inverse transform sampling: the action is the number of cumulative probabilities up to `uniform`.
        uniform = jax.random.uniform(key, (infoset.shape[0], 1))
        # Out of range if another player is to move; that action is not the agent's, and is ignored.
        row = jnp.clip(own.row(role, infoset, member), 0, behaviour.shape[0] - 1)
        return jnp.sum(uniform >= behaviour[row], axis=1, dtype=jnp.int32)

    def by_game(
        role: Role, variables: Any, key: jax.Array, infoset: jax.Array, member: jax.Array | None
    ) -> jax.Array:
        observation = observe(game, infoset, _contexts_of(role, member, len(infoset)))
        return core.act(variables, key, observation).astype(jnp.int32)

    def choose(role: Role, *arguments: Any) -> jax.Array:
        # Shapes are static, so this is decided while tracing and only one of the two is compiled.
        few = own.most * len(role.contexts) <= num_envs
        return (by_table if few else by_game)(role, *arguments)

    return choose


def make_batching(
    compiled: CompiledGame, game: GameArrays, batch_size: int
) -> Callable[[Role, Item], Transition]:
    """Returns (role, item) -> transitions.

    If a player's information states, counted once for every member, are fewer than a batch's observations,
    the rows are all of them, padded to the same number for every player. Otherwise there are two rows a
    decision.
    """
    own = _OwnRows(compiled)

    def of_all(role: Role, item: Item) -> Transition:
        then = own.row(role, item.next_infoset, item.member)
        return Transition(
            own.observe(game, role),
            own.row(role, item.infoset, item.member),
            # The last decision has no next information state, whose number may belong to another player.
            jnp.where(item.discount > 0, then, 0),
            item.action,
            item.reward,
            item.discount,
            item.weight,
        )

    def of_each(role: Role, item: Item) -> Transition:
        context = _contexts_of(role, item.member, len(item.infoset))
        now, then = observe(game, item.infoset, context), observe(game, item.next_infoset, context)
        return join(now, item.action, item.reward, item.discount, then)._replace(weight=item.weight)

    def make_batch(role: Role, item: Item) -> Transition:
        few = own.most * len(role.contexts) <= 2 * batch_size
        return (of_all if few else of_each)(role, item)

    return make_batch


Act = Callable[[TrainingTask, Any, Experience, jax.Array], Experience]


def make_acting(compiled: CompiledGame, game: GameArrays, core: AgentCore, num_envs: int) -> Act:
    """Returns (task, agent's state, experience, key) -> experience after one decision in every game.

    Rewards are divided by the game's largest return, so that learning rates fit every game.

    Args:
      compiled: the game, a tree or a graph.
      game: the same as arrays on the device.
      core: the agent.
      num_envs: games played side by side.
    """
    choose = make_choice(compiled, game, core, num_envs)

    def act(task: TrainingTask, state: Any, experience: Experience, key: jax.Array) -> Experience:
        act_key, step_key = jax.random.split(key)
        games, player = experience.games, task.role.player
        infoset = game.infoset[games.node]
        member = task.members[games.profile] if len(task.role.contexts) > 1 else None
        action = choose(task.role, core.variables(state), act_key, infoset, member)
        # In a game that ends here, `onward` is already the next game. Its information state is stored as the
        # next one, but with discount 0, so that it never counts.
        onward, outcome = rollout.step(game, task.profiles, player, games, action, step_key)
        deciding = device_moves.deciding(game, player, games)
        item = Item(
            infoset=infoset,
            action=action,
            reward=outcome.reward / compiled.utility_scale,
            discount=1.0 - outcome.done,
            next_infoset=game.infoset[onward.node],
            # 0 if another player moved: shapes are fixed, so it is stored, but it never counts.
            weight=deciding * task.decision_weights[games.profile],
            member=member,
        )
        return Experience(onward, add(experience.buffer, item), experience.episodes + outcome.episodes)

    return act
