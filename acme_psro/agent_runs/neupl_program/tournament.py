"""Evaluation games of one actor: pairs of members drawn uniformly, played to the end, and never learned from.

Dimensions: `n` games, `N` members.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from acme_psro.agent_runs.neupl_program.members import Members
from acme_psro.games import playing
from acme_psro.games.loading import largest_return, load_game
from acme_psro.neupl.payoff_estimator import Outcomes


class Tournament:
    """Plays evaluation games as training games end, so that they have a share of all games.

    Args:
      game: OpenSpiel's name of the game.
      members: all members.
      share: the share of evaluation games among all games, below 1.
      num_games: number of evaluation games that are played side by side.
      report: is given the games that were played.
      seed: seed of pairs, chance and actions.
    """

    def __init__(
        self,
        game: str,
        members: Members,
        share: float,
        num_games: int,
        report: Callable[[Outcomes], None],
        seed: int,
    ) -> None:
        self._game = load_game(game)
        self._scale = largest_return(game)
        self._members = members
        self._per_game = share / (1 - share)
        self._num_games = num_games
        self._report = report
        self._rng = np.random.default_rng(seed)
        self._owed = 0.0

    def add_ended(self, num: int) -> None:
        """Counts training games that have ended, and plays evaluation games if enough are owed."""
        self._owed += num * self._per_game
        while self._owed >= self._num_games:
            self._owed -= self._num_games
            self._report(self.play(self._num_games))

    def play(self, num: int) -> Outcomes:
        """Plays `n` games of pairs drawn uniformly, to their ends.

        All games that are begun are counted. If only those that end first were, short games would count too
        much.
        """
        members = self._members
        numbers = members.number(self._rng.integers(members.num_members, size=(num, 2)))
        returns = play_games(self._game, members, numbers, self._rng)
        first, second = (members.rows(player, numbers[:, player]).astype(np.float32) for player in range(2))
        return Outcomes(first, second, (returns / self._scale).astype(np.float32))


def play_games(game: Any, members: Members, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns player 0's returns `[n]` of games side by side.

    Args:
      game: the OpenSpiel game, in turn-based form.
      members: all members.
      numbers: `[n, 2]` int, the numbers of both players' members in each game.
      rng: random generator.
    """
    states = [game.new_initial_state() for _ in range(len(numbers))]
    active = list(range(len(states)))
    while active:
        waiting: dict[int, list[int]] = {}
        for index in active:
            waiting.setdefault(_pass_chance(states[index], rng), []).append(index)
        waiting.pop(playing.TERMINAL, None)
        # In a fixed order of players, because the order decides which random numbers each one gets.
        for player, those in sorted(waiting.items()):
            own = [states[index] for index in those]
            found = members.probabilities(own, player, numbers[those, player])
            for state, action in zip(own, playing.draw_each(rng, found).tolist(), strict=True):
                state.apply_action(action)
        active = [index for those in waiting.values() for index in those]
    return np.array([state.player_return(0) for state in states])


def _pass_chance(state: Any, rng: np.random.Generator) -> int:
    """Plays the moves of chance; returns the player who is to move then."""
    while (mover := state.current_player()) == playing.CHANCE:
        state.apply_action(playing.draw(rng, state.chance_outcomes()))
    return int(mover)
