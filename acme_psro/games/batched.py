"""Many games of one OpenSpiel game, stepped side by side; the other players are part of them.

Whoever answers, the learning player or an opponent's policy, is asked for all games that wait for it at
once. Conventions are those of `acme_psro.games.environment`, the view of one game.

Dimensions: `E` games, `P` players, `A` distinct actions, `D` numbers of an information state; `n` states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games import playing
from acme_psro.games.loading import load_game
from agents.core import Observation

# (states, all with `player` to move; player) -> probabilities `[n, A]` of all actions, 0 where illegal.
BatchPolicy = Callable[[Sequence[Any], int], np.ndarray]


class Opponents(NamedTuple):
    """What the others play, drawn anew for every episode.

    Attributes:
      policies: `[P][n_p]`, of every player; the learning player's own may be empty.
      draw: (generator, n) -> `[n, P]` int: the index of each player's policy, a row an episode. The learning
        player's own is not looked at.
    """

    policies: tuple[tuple[BatchPolicy, ...], ...]
    draw: Callable[[np.random.Generator, int], np.ndarray]


class Steps(NamedTuple):
    """What came of a step of every game.

    Attributes:
      observation: arrays `[E, ..]`, the decision that each game stands at now: where `last`, the first one
        of the next episode.
      reward: `[E]` float32, what was paid since the last decision, in the game's utility units; the first
        one holds what was paid before it too.
      last: `[E]` bool, whether the reward ended an episode.
    """

    observation: Observation
    reward: np.ndarray
    last: np.ndarray


def fixed(policies: Sequence[BatchPolicy | None]) -> Opponents:
    """Opponents that are the same in every episode: a policy for each player, None for the learning one."""
    players = len(policies)
    return Opponents(
        tuple(() if policy is None else (policy,) for policy in policies),
        lambda rng, episodes: np.zeros((episodes, players), np.int64),
    )


def uniform(game: str | pyspiel.Game) -> BatchPolicy:
    """Plays all legal actions alike, as any player."""
    num_actions = load_game(str(game)).num_distinct_actions()

    def probabilities(states: Sequence[Any], player: int) -> np.ndarray:
        legal = np.array([state.legal_actions_mask(player) for state in states], np.float64)
        return (legal / legal.sum(axis=1, keepdims=True)).reshape(len(states), num_actions)

    return probabilities


def of_openspiel(policy: Any) -> BatchPolicy:
    """An `open_spiel.python.policy.Policy`, asked for one state after the other."""
    num_actions = policy.game.num_distinct_actions()

    def probabilities(states: Sequence[Any], player: int) -> np.ndarray:
        rows = np.zeros((len(states), num_actions))
        for row, state in zip(rows, states, strict=True):
            for action, probability in policy.action_probabilities(state, player).items():
                row[action] = probability
        return rows

    return probabilities


class GameBatch:
    """One player of many games of the same kind, against others drawn once an episode.

    Where an episode ends the next one begins at once: every game always stands at a decision. Games in
    which the player has nothing to decide are played but are no episodes.

    Args:
      game: as `pyspiel.load_game` takes it; simultaneous moves are made one after the other.
      player: whose decisions are asked for, `0 .. P-1`.
      num_games: `E`.
      opponents: what the others play; None: uniformly.
      seed: of chance, the opponents and their draw. Equal seeds and actions give equal episodes.

    Attributes:
      game: OpenSpiel's, turn-based.
      num_games: `E`.
      nothing: an `Observation` without the axis of games: what is observed at the end of an episode.
      states: OpenSpiel's, where each game stands.

    Raises:
      GameError (a ValueError): a game that cannot be loaded, has no tensors or no such player.
      ValueError: no games, or opponents that are not a tuple of policies for each player.
    """

    def __init__(
        self, game: str, player: int, num_games: int, opponents: Opponents | None = None, seed: int = 0
    ) -> None:
        if num_games < 1:
            raise ValueError(f"at least 1 game must be played, not {num_games}.")
        self.game = load_game(game)
        self.num_games = num_games
        self.nothing = playing.make_nothing(self.game)
        self._player = playing.checked_player(self.game, player)
        players = self.game.num_players()
        self._policies, self._draw = opponents or fixed([uniform(self.game)] * players)
        if len(self._policies) != players:
            raise ValueError(
                f"{self.game} has {players} players, not {len(self._policies)}: give policies for each."
            )
        self._observe = playing.make_observe(self.game)
        self._pays_at_end = playing.pays_at_end(self.game)
        self._rng = np.random.default_rng(seed)
        self.states: list[Any] = [None] * num_games
        self._drawn: list[list[int]] = [[]] * num_games
        self._paid = np.zeros(num_games)
        self._legal: np.ndarray | None = None

    def reset(self) -> Observation:
        """Takes all games to the first decision of a new episode.

        Raises:
          ValueError: draws or answers of opponents that are not what they should be.
          NoDecisionError: the player had nothing to decide in 10,000 games in a row.
        """
        self._begin(list(range(self.num_games)))
        return self._look()

    def step(self, actions: Any) -> Steps:
        """Plays the player's actions `[E]` int, then the others' up to its next decisions.

        Raises:
          ValueError: an action that is not legal, or see `reset`.
          NoDecisionError: see `reset`.
        """
        for state, action in zip(self.states, self._checked(actions), strict=True):
            state.apply_action(action)
        ended = self._play_on(list(range(self.num_games)))
        last = np.zeros(self.num_games, bool)
        last[ended] = True
        reward = self._pay(np.flatnonzero(last) if self._pays_at_end else np.arange(self.num_games))
        self._begin(sorted(ended))
        return Steps(self._look(), reward, last)

    def _checked(self, actions: Any) -> list[int]:
        if self._legal is None:
            raise ValueError("no game has begun: call reset first.")
        actions = np.asarray(actions)
        if actions.shape != (self.num_games,) or not np.issubdtype(actions.dtype, np.integer):
            raise ValueError(f"actions must be {self.num_games} integers, not {_kind(actions)}.")
        known = (actions >= 0) & (actions < self._legal.shape[1])
        legal = known & self._legal[np.arange(self.num_games), np.where(known, actions, 0)]
        for index in np.flatnonzero(~legal):
            choices = np.flatnonzero(self._legal[index]).tolist()
            raise ValueError(
                f"action {actions[index]} is not legal for player {self._player} in game {index}: choose "
                f"from {choices}."
            )
        return actions.tolist()

    def _begin(self, games: list[int]) -> None:
        """Starts episodes and plays up to the player's first decision."""
        for _ in range(playing.MAX_GAMES_WITHOUT_DECISION):
            if not games:
                return
            for index, drawn in zip(games, self._draw_opponents(len(games)), strict=True):
                self.states[index] = self.game.new_initial_state()
                self._drawn[index] = drawn
            self._paid[games] = 0.0
            games = self._play_on(games)
        raise playing.no_decision(self.game, self._player)

    def _draw_opponents(self, episodes: int) -> list[list[int]]:
        drawn = np.asarray(self._draw(self._rng, episodes))
        if drawn.shape != (episodes, len(self._policies)) or not np.issubdtype(drawn.dtype, np.integer):
            raise ValueError(
                f"opponents must be drawn as integers [{episodes}, {len(self._policies)}], a row an episode "
                f"and a column a player, not as {_kind(drawn)}."
            )
        return drawn.tolist()

    def _play_on(self, games: list[int]) -> list[int]:
        """Moves chance and the others until the player decides; returns the games that ended instead."""
        ended = []
        while games:
            waiting: dict[tuple[int, int], list[int]] = {}
            for index in games:
                mover = self._pass_chance(self.states[index])
                if mover == playing.TERMINAL:
                    ended.append(index)
                elif mover != self._player:
                    waiting.setdefault((mover, self._drawn[index][mover]), []).append(index)
            for (mover, policy), those in waiting.items():
                self._move(mover, policy, [self.states[index] for index in those])
            games = [index for those in waiting.values() for index in those]
        return ended

    def _pass_chance(self, state: Any) -> int:
        """Lets chance move; returns who is to move then."""
        while (mover := state.current_player()) == playing.CHANCE:
            state.apply_action(playing.draw(self._rng, state.chance_outcomes()))
        return mover

    def _move(self, mover: int, policy: int, states: list[Any]) -> None:
        """Moves an opponent in all games where it plays the same policy and is to move."""
        if not 0 <= policy < len(self._policies[mover]):
            raise ValueError(
                f"player {mover} of {self.game} is to move and has no policy {policy}: give it one."
            )
        answer = np.asarray(self._policies[mover][policy](states, mover), np.float64)
        if answer.shape != (len(states), self.game.num_distinct_actions()):
            raise ValueError(
                f"the policy of player {mover} must answer with probabilities [{len(states)}, "
                f"{self.game.num_distinct_actions()}], a row a state, not with {_kind(answer)}."
            )
        for state, action in zip(states, playing.draw_each(self._rng, answer).tolist(), strict=True):
            try:
                state.apply_action_with_legality_check(action)
            except pyspiel.SpielError:
                raise ValueError(
                    f"the policy of player {mover} chose action {action}, which is not legal: its "
                    f"probabilities must be 0 beside {state.legal_actions()}."
                ) from None

    def _look(self) -> Observation:
        observation = self._observe(self.states, self._player)
        self._legal = np.asarray(observation.legal_actions)
        return observation

    def _pay(self, games: Iterable[int]) -> np.ndarray:
        """What was paid since the last rewards, and what rounding withheld of earlier ones."""
        games = np.asarray(games, np.int64)
        reward = np.zeros(self.num_games, np.float32)
        returns = [self.states[index].player_return(self._player) for index in games]
        reward[games] = np.array(returns) - self._paid[games]
        self._paid[games] += reward[games]
        return reward


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"
