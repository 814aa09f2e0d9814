"""Many copies of an OpenSpiel game, stepped in parallel for one learner. The other players are part of them.

The learner acts in all games at the same time, and each policy of an opponent is called once for all games
that wait for it. The conventions are those of `acme_psro.games.environment`, which plays a single game.

Dimensions: `E` games, `P` players, `A` distinct actions, `D` numbers in an observation, `n` states.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from acme_psro.games import playing
from acme_psro.games.batch_policies import BatchOpponents, ask, fixed, uniform
from acme_psro.games.loading import load_game
from agents.core import Observation


class Steps(NamedTuple):
    """Result of one step of all games.

    Attributes:
      observation: arrays `[E, ..]`, the observation at the learner's next decision in each game. If `last` is
        True, this is the first decision of the next episode.
      reward: `[E]` float32, the sum of the learner's rewards since its last decision, in the game's utility
        units. The first reward of an episode also contains the rewards before the first decision.
      last: `[E]` bool, True if the step ended an episode.
    """

    observation: Observation
    reward: np.ndarray
    last: np.ndarray


class GameBatch:
    """Copies of a game in which one player, the learner, plays against opponents drawn for each episode.

    When an episode ends, the next one is started immediately, so each game is always at a decision of the
    learner. Games in which the learner has nothing to decide are played, but they do not count as episodes.

    Args:
      game: the game as `pyspiel.load_game` takes it. Simultaneous moves are made one after the other.
      player: the learner, in `0 .. P-1`.
      num_games: `E`, the number of games stepped in parallel.
      opponents: the policies of the other players. With None, they play uniformly.
      seed: the seed for chance, for the opponents' actions and for the choice of opponents. Equal seeds and
        actions give equal episodes.

    Attributes:
      game: the OpenSpiel game, in turn-based form.
      num_games: `E`, the number of games stepped in parallel.
      nothing: the `Observation` at the end of an episode, without the axis of games.
      states: the current OpenSpiel state of each game.

    Raises:
      GameError (a ValueError): the game cannot be loaded, has no tensors or has no such player.
      ValueError: there are no games, or the opponents are not one tuple of policies for each player.
    """

    def __init__(
        self, game: str, player: int, num_games: int, opponents: BatchOpponents | None = None, seed: int = 0
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
        """Starts a new episode in all games, and plays up to the learner's first decisions.

        Raises:
          ValueError: the drawn indices or the probabilities of opponents are invalid.
          NoDecisionError: the learner had nothing to decide in 10,000 games in a row.
        """
        self._begin(list(range(self.num_games)))
        return self._look()

    def step(self, actions: Any) -> Steps:
        """Plays the learner's actions, then the other moves up to its next decisions.

        Args:
          actions: `[E]` int, a legal action for each game.

        Raises:
          ValueError: an action is not legal, or see `reset`.
          NoDecisionError: see `reset`.
        """
        for state, action in zip(self.states, self._checked(actions), strict=True):
            state.apply_action(action)
        ended = self._play_on(list(range(self.num_games)))
        last = np.zeros(self.num_games, bool)
        last[ended] = True
        # Rewards are computed before ended games are replaced. If the game pays at its end, all others are
        # zero.
        reward = self._pay(np.flatnonzero(last) if self._pays_at_end else np.arange(self.num_games))
        # Sorted, so that opponents are drawn in an order that does not depend on the order of the moves.
        self._begin(sorted(ended))
        return Steps(self._look(), reward, last)

    def _checked(self, actions: Any) -> list[int]:
        """Returns the actions as a list.

        Raises:
          ValueError: the shape or the type is wrong, an action is not legal, or no game was started.
        """
        if self._legal is None:
            raise ValueError("no game has begun: call reset first.")
        actions = np.asarray(actions)
        if actions.shape != (self.num_games,) or not np.issubdtype(actions.dtype, np.integer):
            raise ValueError(f"actions must be {self.num_games} integers, not {_array_type(actions)}.")
        known = (actions >= 0) & (actions < self._legal.shape[1])
        # Unknown actions are replaced by 0, so that they can be used as indices. `known` excludes them again.
        legal = known & self._legal[np.arange(self.num_games), np.where(known, actions, 0)]
        for index in np.flatnonzero(~legal):
            choices = np.flatnonzero(self._legal[index]).tolist()
            raise ValueError(
                f"action {actions[index]} is not legal for player {self._player} in game {index}: choose "
                f"from {choices}."
            )
        return actions.tolist()

    def _begin(self, games: list[int]) -> None:
        """Starts episodes in some games, and plays up to the learner's first decisions."""
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
        """Draws an index of a policy for each player, for each of several episodes."""
        drawn = np.asarray(self._draw(self._rng, episodes))
        if drawn.shape != (episodes, len(self._policies)) or not np.issubdtype(drawn.dtype, np.integer):
            raise ValueError(
                f"opponents must be drawn as integers [{episodes}, {len(self._policies)}], a row an episode "
                f"and a column a player, not as {_array_type(drawn)}."
            )
        return drawn.tolist()

    def _play_on(self, games: list[int]) -> list[int]:
        """Plays the moves of chance and opponents until the learner is to move in each game.

        Returns:
          The games that ended before the learner could decide, in any order.
        """
        ended = []
        while games:
            waiting: dict[tuple[int, int], list[int]] = {}
            for index in games:
                mover = self._pass_chance(self.states[index])
                if mover == playing.TERMINAL:
                    ended.append(index)
                elif mover != self._player:
                    waiting.setdefault((mover, self._drawn[index][mover]), []).append(index)
            asked = {key: [self.states[index] for index in those] for key, those in waiting.items()}
            answers = self._ask(asked)
            for (mover, policy), states in asked.items():
                self._move(mover, states, answers[mover, policy])
            games = [index for those in waiting.values() for index in those]
        return ended

    def _pass_chance(self, state: Any) -> int:
        """Plays the moves of chance. Returns the player to move after them, or `TERMINAL`."""
        while (mover := state.current_player()) == playing.CHANCE:
            state.apply_action(playing.draw(self._rng, state.chance_outcomes()))
        return mover

    def _ask(self, asked: dict[tuple[int, int], list[Any]]) -> dict[tuple[int, int], np.ndarray]:
        """Asks the opponents' policies for their answers, see `ask`.

        Raises:
          ValueError: there is no such policy.
        """
        for mover, policy in asked:
            if not 0 <= policy < len(self._policies[mover]):
                raise ValueError(
                    f"player {mover} of {self.game} is to move and has no policy {policy}: give it one."
                )
        return ask(self._policies, asked)

    def _move(self, mover: int, states: list[Any], answer: np.ndarray) -> None:
        """Plays one move of an opponent in all games in which it is to move and plays the same policy.

        Args:
          mover: the opponent.
          states: the `n` states, which are changed in place.
          answer: its policy's probabilities, `[n, A]` if the policy is sound.

        Raises:
          ValueError: the probabilities are invalid.
        """
        if answer.shape != (len(states), self.game.num_distinct_actions()):
            raise ValueError(
                f"the policy of player {mover} must answer with probabilities [{len(states)}, "
                f"{self.game.num_distinct_actions()}], a row a state, not with {_array_type(answer)}."
            )
        for state, action in zip(states, playing.draw_each(self._rng, answer).tolist(), strict=True):
            # Checked here, because OpenSpiel prints the whole state if it finds an illegal action.
            if action not in state.legal_actions():
                raise ValueError(
                    f"the policy of player {mover} chose action {action}, which is not legal: its "
                    f"probabilities must be 0 beside {state.legal_actions()}."
                )
            state.apply_action(action)

    def _look(self) -> Observation:
        """Observes all games, and stores the legal actions for the check of the next ones."""
        observation = self._observe(self.states, self._player)
        self._legal = np.asarray(observation.legal_actions)
        return observation

    def _pay(self, games: Iterable[int]) -> np.ndarray:
        """Returns the rewards `[E]` of some games since the last ones, and zero for all others.

        The rounding errors of earlier rewards are included, so that they do not add up over an
        episode.
        """
        games = np.asarray(games, np.int64)
        reward = np.zeros(self.num_games, np.float32)
        returns = [self.states[index].player_return(self._player) for index in games]
        reward[games] = np.array(returns) - self._paid[games]
        self._paid[games] += reward[games]
        return reward


def _array_type(array: np.ndarray) -> str:
    """Returns the type and the shape of an array, for a message."""
    return f"{array.dtype}{list(array.shape)}"
