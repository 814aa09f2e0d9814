"""Best responses of one player to several opponents, with one network for all or one network for each.

All networks are those of conditional MPO. Dimensions: `M` members, one for each opponent; others as in
`acme_psro.games.tree`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games import traverse
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.experience import observe
from acme_psro.oracles.device.training import OpponentProfiles, Train, make_train
from acme_psro.policies import tabular
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from agents import conditional_mpo, settings
from agents.conditional_mpo.conditioning import make_contexts

AGENT = "conditional_mpo"

_NO_GAIN = 1e-9


class Budget(NamedTuple):
    """Training budgets of the two sides.

    Attributes:
      one: the configuration of the one network for all members.
      separate: the configuration of each separate network.
      members: the number of members, and so of separate networks.
    """

    one: DeviceConfig
    separate: DeviceConfig
    members: int

    @property
    def env_steps(self) -> tuple[int, int]:
        """Env steps of the one network, and of all separate networks in total."""
        one, separate = self.one, self.separate
        return one.num_envs * _rounds(one), self.members * separate.num_envs * _rounds(separate)


def _rounds(config: DeviceConfig) -> int:
    return config.rounds_before_learning + config.gradient_steps // config.updates_per_round


def make_budget(config: DeviceConfig, members: int) -> Budget:
    """Splits a budget between the separate networks.

    Args:
      config: the total budget. Only `num_envs` is the number of parallel games of a single separate network.
      members: the number of members.

    Returns:
      Budgets with the same number of gradient steps and the same replay memory for both sides.

    Raises:
      ValueError: the budget cannot be divided into equal shares.
    """
    unit = members * config.updates_per_round * config.snapshots
    if config.gradient_steps % unit > 0:
        raise ValueError(
            f"--gradient_steps must be a multiple of members * updates_per_round * snapshots, {unit}, for "
            f"all to get as many, not {config.gradient_steps}."
        )
    if config.buffer_size < members * config.batch_size:
        raise ValueError(
            f"--buffer_size must hold a batch for each member, {members * config.batch_size}, not "
            f"{config.buffer_size}."
        )
    separate = dataclasses.replace(
        config, gradient_steps=config.gradient_steps // members, buffer_size=config.buffer_size // members
    )
    # Every network plays some rounds before it learns. The one network plays its rounds in more games, so
    # that both sides have the same number of env steps.
    num_envs = members * separate.num_envs * _rounds(separate) // _rounds(config)
    return Budget(dataclasses.replace(config, num_envs=num_envs), separate, members)


class Opponent(NamedTuple):
    """The mixture that a member responds to.

    Attributes:
      table: `[I, A]`, a policy for every player.
      plan: `[S]`, the realisation plan of that policy.
      present: the learning player's expected return if all players play this policy.
      best_gain: the player's gain over `present` by an exact best response.
    """

    table: np.ndarray
    plan: np.ndarray
    present: float
    best_gain: float


def make_opponents(tree: GameTree, player: int, num: int) -> list[Opponent]:
    """Returns the opponents that exact PSRO responds to in its first `num` iterations.

    Raises:
      ValueError: there is no such player, or an opponent repeats an earlier one or leaves nothing to gain.
    """
    if not 0 <= player < tree.num_players:
        raise ValueError(f"--player must be one of 0 to {tree.num_players - 1}, not {player}.")
    opponents: list[Opponent] = []
    for plan in mixtures(tree, num):
        opponent = make_opponent(tree, player, plan)
        theirs = _others_part(tree, plan, player)
        known = any(np.allclose(theirs, _others_part(tree, each.plan, player)) for each in opponents)
        if known or opponent.best_gain <= _NO_GAIN:
            raise ValueError(
                f"exact PSRO on {tree.game_string} has only {len(opponents)} different tasks for player "
                f"{player} before one that teaches nothing new: lower --members from {num}."
            )
        opponents.append(opponent)
    return opponents


def make_opponent(tree: GameTree, player: int, plan: np.ndarray) -> Opponent:
    """Returns the opponent with the realisation plan `[S]`."""
    present = float(traverse.expected_returns(tree, plan)[player])
    gain = traverse.best_response(tree, plan, player).value - present
    return Opponent(traverse.behaviour(tree, plan), plan, present, float(gain))


def mixtures(tree: GameTree, num: int) -> Iterator[np.ndarray]:
    """Yields realisation plans `[S]` of exact PSRO's mixtures: the initial one and that of each iteration."""
    meta_game, oracle = ExactMetaGame(tree), exact.make_oracle(tree)
    psro = meta_solving.make_loop(meta_game, get_solver("nash"))
    first = loop.initialise(meta_game, psro)
    rest = loop.run(
        first, 0, num - 1, oracle=oracle, meta_game=meta_game, loop=psro, converged=lambda state: False
    )
    for state in (first, *rest):
        yield tabular.meta_strategy_plan(tree, state.populations, state.meta_strategy)


def _others_part(tree: GameTree, plan: np.ndarray, player: int) -> np.ndarray:
    """Returns the part of a realisation plan that belongs to the other players."""
    rows = plan[:-1].reshape(tree.num_infosets, tree.num_actions)
    return np.delete(rows, tree.infosets_of(player), axis=0)


# (key, opponents' tables [M, I, A]) -> the members' policies at equally spaced updates,
# [snapshots, M, I, A].
TrainAll = Callable[[jax.Array, jax.Array], jax.Array]


def make_one(tree: GameTree, player: int, budget: Budget, agent_settings: dict[str, Any]) -> TrainAll:
    """Makes a pure function that trains one network for all members."""
    num = budget.members
    train, contexts = _make_train(tree, budget.one, {**agent_settings, "num_members": num}, num)

    def train_all(key: jax.Array, tables: jax.Array) -> jax.Array:
        weights, members = jnp.full(num, 1 / num), jnp.arange(num, dtype=jnp.int32)
        opponents = OpponentProfiles(tables, weights, members, contexts, jnp.ones(num))
        return train(key, jnp.int32(player), opponents).probs

    return train_all


def make_separate(tree: GameTree, player: int, budget: Budget, agent_settings: dict[str, Any]) -> TrainAll:
    """Makes a pure function that trains a separate network for each opponent."""
    train, contexts = _make_train(tree, budget.separate, agent_settings, 1)

    def train_one(task: tuple[jax.Array, jax.Array]) -> jax.Array:
        key, opponent = task
        opponents = OpponentProfiles(
            opponent[None], jnp.ones(1), jnp.zeros(1, jnp.int32), contexts, jnp.ones(1)
        )
        return train(key, jnp.int32(player), opponents).probs[:, 0]

    def train_all(key: jax.Array, tables: jax.Array) -> jax.Array:
        keys = jax.random.split(key, budget.members)
        return jnp.swapaxes(jax.lax.map(train_one, (keys, tables)), 0, 1)

    return train_all


def _make_train(
    tree: GameTree, device: DeviceConfig, agent_settings: dict[str, Any], num: int
) -> tuple[Train, jax.Array]:
    """Makes the training of an agent with `num` policies; also returns their contexts `[num, C]`."""
    changes = {**agent_settings, "horizon": device.gradient_steps}
    config = settings.replace(AGENT, conditional_mpo.PRESETS["games"], changes)
    contexts = jnp.asarray(make_contexts(config, np.arange(num)))
    game = make_arrays(tree)
    example = observe(game, jnp.zeros(1, jnp.int32), contexts[:1])
    networks = conditional_mpo.make_networks(example, tree.num_actions, config)
    return make_train(tree, game, conditional_mpo.make_core(networks, config), device), contexts


def relative_gaps(
    tree: GameTree, player: int, opponents: Sequence[Opponent], probs: np.ndarray
) -> np.ndarray:
    """Returns relative gaps to exact best responses, each of the best snapshot so far.

    The response takes the most probable action of the policy in every information state.

    Args:
      tree: the game.
      player: the learning player.
      opponents: one for each member.
      probs: policies `[snapshots, M, I, A]`.

    Returns:
      `[snapshots, M]`: 0 for an exact best response, 1 for a response that gains nothing.
    """
    rows = tree.infosets_of(player)
    choice = np.where(tree.legal_actions[rows], probs[:, :, rows], -1.0).argmax(axis=-1)
    gaps = np.empty(choice.shape[:2])
    for (snapshot, member), _ in np.ndenumerate(gaps):
        opponent = opponents[member]
        response = tabular.make_policy(tree, player, np.eye(tree.num_actions)[choice[snapshot, member]])
        returns = traverse.expected_returns(tree, tabular.replace(tree, opponent.plan, player, response))
        gaps[snapshot, member] = 1.0 - (returns[player] - opponent.present) / opponent.best_gain
    return np.minimum.accumulate(gaps, axis=0)
