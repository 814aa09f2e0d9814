"""Training games of one actor: members of both players, each against an opponent drawn from its row.

Half of the games are learned from as player 0, and half as player 1. A game's pair is drawn at the deal and
stays until the game ends, together with the rows by which both members play.

Dimensions: `P` = 2 players, `N` members, `E` games, `n` games that begin.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from acme_psro.agent_runs.neupl_program.members import Members, Policies, make_contexts
from acme_psro.agent_runs.program.game_batches import FiniteGames
from acme_psro.games.batch_policies import BatchOpponents
from acme_psro.games.batched import GameBatch, Steps
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import share_of_learning
from agents.core import Observation


def tremble_share(config: NeuPLConfig) -> float:
    """Returns the share of games whose opponent is drawn uniformly.

    Decisions in them should weigh `tremble_weight`, and those in replay all weigh the same. So fewer trembles
    are played instead, which makes the same expected gradient.
    """
    trembles = config.trembles * config.tremble_weight
    return trembles / (1 - config.trembles + trembles) if trembles else 0.0


def draw_pairs(
    rng: np.random.Generator, rows: np.ndarray, share: np.ndarray, trembles: float, num: int
) -> np.ndarray:
    """Draws pairs of a learning member and an opponent.

    Args:
      rng: random generator.
      rows: `[N, N]`, the rows of the learning player.
      share: `[N]`, distribution over the members that learn.
      trembles: share of pairs whose opponent is drawn uniformly.
      num: `n`.

    Returns:
      `[n, 2]` int: the members' indices.
    """
    member = rng.choice(len(share), num, p=share)
    trembling = rng.random(num) < trembles
    below = np.cumsum(rows, axis=1)[member]
    drawn = (rng.random((num, 1)) * below[:, -1:] >= below).sum(axis=1)
    uniform = rng.integers(len(share), size=num)
    return np.stack([member, np.where(trembling, uniform, drawn)], axis=1)


class MatchBatch(GameBatch):
    """Games that one player learns from; the opponents are members.

    Args:
      game: OpenSpiel's name of the game.
      player: the player who learns.
      num_games: number of games that are stepped side by side.
      members: all members, whose newest graph is used at each deal.
      config: the population.
      seed: seed of pairs, chance and opponents' actions.
    """

    def __init__(
        self, game: str, player: int, num_games: int, members: Members, config: NeuPLConfig, seed: int
    ) -> None:
        self._members = members
        self._trembles = tremble_share(config)
        self._config = config
        # Known for the graph after this number of changes.
        self._shared_at = -1
        self._share = np.zeros(0)
        own = members.policies()
        opponents = tuple(own if other != player else () for other in range(2))
        super().__init__(game, player, num_games, BatchOpponents(opponents, self._draw_pairs), seed)

    @property
    def pairs(self) -> np.ndarray:
        """`[E, P]` int: the numbers of both players' members in the games that are played now."""
        return np.asarray(self._drawn)

    def contexts(self) -> np.ndarray:
        """Returns the contexts `[E, N + 1]` of the members that learn."""
        return self._members.contexts(self._player, self.pairs[:, self._player])

    def _draw_pairs(self, rng: np.random.Generator, num: int) -> np.ndarray:
        if self._shared_at != self._members.changes:
            self._share, self._shared_at = self._find_share(), self._members.changes
        rows = self._members.graph[self._player]
        pairs = draw_pairs(rng, rows, self._share, self._trembles, num)
        # `GameBatch` does not use the learner's own column. It keeps the member that learns here.
        own_first = pairs if self._player == 0 else pairs[:, ::-1]
        return self._members.number(own_first)

    def _find_share(self) -> np.ndarray:
        """Returns `[N]`: the player's distribution over the members that learn by the newest graph."""
        members = self._members
        return share_of_learning(self._config, members.graph, members.is_fixed)[self._player]


class Matches:
    """Games of both players side by side, with the members' contexts in their observations.

    Args:
      game: OpenSpiel's name of the game.
      num_games: `E`, at least 2.
      members: all members.
      config: the population.
      seed: seed of everything random.
      on_ended: called with the number of games that ended, after each step in which any did.

    Attributes:
      num_games: `E`.
      nothing: observation at the end of an episode, without the axis of games.
    """

    def __init__(
        self,
        game: str,
        num_games: int,
        members: Members,
        config: NeuPLConfig,
        seed: int,
        on_ended: Callable[[int], None] = lambda num: None,
    ) -> None:
        seeds = np.random.SeedSequence(seed).generate_state(2)
        sizes = (num_games - num_games // 2, num_games // 2)
        self._sides = tuple(
            MatchBatch(game, player, size, members, config, int(own))
            for player, (size, own) in enumerate(zip(sizes, seeds, strict=True))
        )
        # The same games, which are checked as they are stepped.
        self._checked = tuple(FiniteGames(side, f"openspiel:{game}") for side in self._sides)
        self._ends = np.cumsum(sizes)[:-1]
        self._members = members
        self._on_ended = on_ended
        self._offered: tuple[np.ndarray, Policies] | None = None
        self.num_games = num_games
        nothing = self._sides[0].nothing
        self.nothing = _with_context(nothing, make_contexts(np.zeros(members.num_members), 0))

    @property
    def pairs(self) -> np.ndarray:
        """`[E, P]` int: the numbers of both players' members in the games that are played now."""
        return np.concatenate([side.pairs for side in self._sides])

    def offer(self, graph: np.ndarray, fixed: Policies = MappingProxyType({})) -> None:
        """Offers a new graph `[P, N, N]` and policies of fixed members.

        New games use them as soon as there is room for them.
        """
        self._offered = graph, fixed

    def reset(self) -> Observation:
        """Starts all games, see `GameBatch.reset`."""
        return self._join([games.reset() for games in self._checked])

    def step(self, actions: np.ndarray) -> Steps:
        """Plays one action in each game, see `GameBatch.step`."""
        parts = np.split(np.asarray(actions), self._ends)
        steps = [games.step(own) for games, own in zip(self._checked, parts, strict=True)]
        reward, last = (np.concatenate([each[field] for each in steps]) for field in (1, 2))
        if self._offered is not None and self._members.is_free(self.pairs):
            self._members.renew(*self._offered)
            self._offered = None
        if last.any():
            self._on_ended(int(last.sum()))
        return Steps(self._join([each.observation for each in steps]), reward, last)

    def _join(self, seen: list[Observation]) -> Observation:
        """Returns the observations of both sides, with contexts."""
        own = [_with_context(each, side.contexts()) for each, side in zip(seen, self._sides, strict=True)]
        arrays: list[Any] = [np.concatenate(parts) for parts in zip(*own, strict=True)]
        return Observation(*arrays)


def _with_context(observation: Observation, context: np.ndarray) -> Observation:
    arrays: Any = context
    return observation._replace(context=arrays)
