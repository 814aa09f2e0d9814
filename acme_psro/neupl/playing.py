"""Games of members against members on the device, both sides by tables.

The network is not evaluated while games are played: its target parameters, by which all members act, change
only between rounds, so that tables of all members' policies are computed once a round.

A game's profile is a triple: whether it is a tremble, the learning member and the opposing member. It is
drawn at the deal and stays until the game ends. Beside the `N` members of the graph, the learning member may
be one of `S` mixtures that were drawn for the round.

Dimensions: `P` = 2 players, `N` members, `M = N + S` policies that learn, `K = 2 M N` profiles, `B` games
side by side for each player, `D` decisions in each; others as in `acme_psro.games.tree`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from acme_psro.games import rollout
from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.device_moves import Games, begin, choose, deciding, follow, random_move
from acme_psro.games.profiles import Profiles, cumulative
from acme_psro.games.tree import TERMINAL
from acme_psro.neupl.config import NeuPLConfig


class Tables(NamedTuple):
    """Policies of all members, for all players, as cumulative probabilities.

    Attributes:
      learning: `[M, I, A]` float32, over actions: how members act while they learn, exploration included.
      opposing: `[N, I, A]` float32, over slots: how members oppose.
    """

    learning: jax.Array
    opposing: jax.Array


class Matches(NamedTuple):
    """Distribution of a player's games.

    Attributes:
      weights: `[M, N]` float32, probabilities of pairs of a learning and an opposing member; sums to 1.
      trembles: `[M, N]` float32, the same for trembles.
      share: `[]` float32, the share of trembles.
      tremble_weight: `[]` float32, weight of decisions in them.
    """

    weights: jax.Array
    trembles: jax.Array
    share: jax.Array
    tremble_weight: jax.Array


class Decisions(NamedTuple):
    """Decisions of learning members and their outcomes, all `[D, B]`.

    Attributes:
      infoset: int32, the information state.
      action: int32.
      reward: float32, until the member's next decision, in the game's utility units.
      ended: bool, True if the game ended before the next decision.
      next_infoset: int32; arbitrary if the game ended.
      weight: float32; 0 if another player was to move.
      member: int32 below `M`.
    """

    infoset: jax.Array
    action: jax.Array
    reward: jax.Array
    ended: jax.Array
    next_infoset: jax.Array
    weight: jax.Array
    member: jax.Array


def make_tables(game: GameArrays, behaviour: jax.Array, probs: jax.Array) -> Tables:
    """Makes tables from probabilities over actions.

    Args:
      game: the compiled game.
      behaviour: `[M, I, A]`, how members act while they learn.
      probs: `[N, I, A]`, how members oppose.
    """
    chex.assert_rank([behaviour, probs], 3)
    slots = jnp.take_along_axis(probs, game.action_of_slot[None], axis=2)
    return Tables(cumulative(behaviour), cumulative(slots))


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


def play(
    game: GameArrays,
    tables: Tables,
    matches: Matches,
    player: jax.Array,
    key: jax.Array,
    num_envs: int,
    num_decisions: int,
    spread: Callable[[Games], Games] | None = None,
) -> tuple[Decisions, jax.Array]:
    """Plays `num_envs` games side by side from their deals, for `num_decisions` decisions each.

    A game that ends is followed by another one, with a new profile. The last games are left unfinished.

    Args:
      game: the compiled game.
      tables: the members' policies.
      matches: the distribution of profiles.
      player: `[]` int32, the player whose members learn.
      key: the random key.
      num_envs: `B`.
      num_decisions: `D`.
      spread: spreads games over devices; None for one device.

    Returns:
      The decisions, and `[]` int32, the number of games that ended.
    """
    num_learning, num_opposing = matches.weights.shape
    chex.assert_shape(tables.learning, (num_learning, *game.legal_actions.shape))
    chex.assert_shape(tables.opposing, (num_opposing, *game.legal_actions.shape))
    by_kind = jnp.stack([(1 - matches.share) * matches.weights, matches.share * matches.trembles])
    weights = cumulative(by_kind.reshape(-1))
    opposing = jnp.arange(weights.size, dtype=jnp.int32) % num_opposing
    profiles = Profiles(tables.opposing, weights, opposing)
    start_key, key = jax.random.split(key)

    def decide(games: Games, key: jax.Array) -> tuple[Games, tuple[Decisions, jax.Array]]:
        act_key, step_key = jax.random.split(key)
        games = games if spread is None else spread(games)
        member = games.profile // num_opposing % num_learning
        infoset = game.infoset[games.node]
        # Inverse transform sampling, as in `random_move`.
        uniform = jax.random.uniform(act_key, (num_envs, 1))
        action = jnp.sum(uniform >= tables.learning[member, infoset], axis=1, dtype=jnp.int32)
        onward, outcome = rollout.step(game, profiles, player, games, action, step_key)
        is_tremble = games.profile >= num_learning * num_opposing
        decision_weight = jnp.where(is_tremble, matches.tremble_weight, 1.0)
        decision = Decisions(
            infoset=infoset,
            action=action,
            reward=outcome.reward,
            ended=outcome.done,
            next_infoset=game.infoset[onward.node],
            weight=deciding(game, player, games) * decision_weight,
            member=member,
        )
        return onward, (decision, outcome.episodes)

    games = rollout.start(game, profiles, player, start_key, num_envs)
    _, (decisions, episodes) = jax.lax.scan(decide, games, jax.random.split(key, num_decisions))
    return decisions, episodes.sum()


class _PairsCarry(NamedTuple):
    """Loop carry of `play_pairs`: the games, random key, and player 0's rewards so far `[B]`."""

    games: Games
    key: jax.Array
    total: jax.Array


def play_pairs(
    game: GameArrays, opposing: jax.Array, key: jax.Array, num_games: int
) -> tuple[jax.Array, jax.Array]:
    """Plays a game to its end for each of `num_games` pairs of members, which are drawn evenly.

    Args:
      game: the compiled game.
      opposing: `[N, I, A]`, see `Tables`; both members play by it.
      key: the random key.
      num_games: `B`.

    Returns:
      `[B, P]` int32, the pairs, and `[B]` float32, player 0's returns in utility units.
    """
    chex.assert_shape(opposing, (None, *game.legal_actions.shape))
    pair_key, key = jax.random.split(key)
    pairs = jax.random.randint(pair_key, (num_games, 2), 0, len(opposing))
    # Nothing is drawn by weights: in each move, the profile is the member whose turn it is.
    profiles = Profiles(opposing, jnp.ones(1))

    def is_playing(carry: _PairsCarry) -> jax.Array:
        return jnp.any(game.player[carry.games.node] != TERMINAL)

    def move(carry: _PairsCarry) -> _PairsCarry:
        key, move_key = jax.random.split(carry.key)
        player = game.player[carry.games.node]
        mover = jnp.take_along_axis(pairs, jnp.maximum(player, 0)[:, None], axis=1)[:, 0]
        uniform = jax.random.uniform(move_key, (num_games,))
        games = carry.games._replace(profile=mover)
        edge = random_move(game, profiles, games, uniform)
        is_over = player == TERMINAL
        gained = jnp.where(is_over, 0.0, game.reward[edge, 0])
        games = choose(is_over, games, follow(game, games, edge))
        return _PairsCarry(games, key, carry.total + gained)

    start = _PairsCarry(begin(game, jnp.zeros(num_games, jnp.int32)), key, jnp.zeros(num_games))
    return pairs, jax.lax.while_loop(is_playing, move, start).total
