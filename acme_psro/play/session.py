"""A person's games against a run, as pure functions over explicit states.

Every move of chance and of the other players is drawn with a random number that belongs to the seed, the
number of the game and the number of the moves before it. Therefore a move that is taken back and made again
has the same consequences, and equal seeds and moves give equal sessions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from acme_psro.play.opponents import Lineup, Opponents

# Largest difference between a sum of probabilities and 1 that is explained by rounding.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Setting:
    """All that stays the same in a session.

    Attributes:
      opponents: the other players, and the game.
      player: the person's player.
      seed: the seed of all random numbers, >= 0.
    """

    opponents: Opponents
    player: int
    seed: int


class Move(NamedTuple):
    """A move of chance or of another player.

    Attributes:
      before: OpenSpiel's state in which it was made.
      player: the mover; negative for chance.
      action: the action that was drawn.
      probabilities: the probability of each possible action.
    """

    before: Any
    player: int
    action: int
    probabilities: dict[int, float]


class Position(NamedTuple):
    """A point of a game at which it is the person's turn, or at which it is over.

    Attributes:
      state: OpenSpiel's state, which is never changed.
      moves: the moves of chance and the others since the position before.
    """

    state: Any
    moves: tuple[Move, ...]


class Session(NamedTuple):
    """Games so far.

    Attributes:
      number: the number of the present game, from 1.
      lineup: the policies of the present game.
      positions: those of the present game; the last one is the present.
      results: the person's returns in earlier games that were finished.
    """

    number: int
    lineup: Lineup
    positions: tuple[Position, ...]
    results: tuple[float, ...]

    @property
    def state(self) -> Any:
        """OpenSpiel's present state, which must not be changed."""
        return self.positions[-1].state

    @property
    def moves(self) -> tuple[Move, ...]:
        """All moves of chance and the others in the present game."""
        return tuple(move for position in self.positions for move in position.moves)


def begin(setting: Setting) -> Session:
    """Returns a session at the person's first decision."""
    return _start(setting, 1, ())


def new_game(setting: Setting, session: Session) -> Session:
    """Returns the session with another game begun; an unfinished one does not count."""
    return _start(setting, session.number + 1, all_results(setting, session))


def act(setting: Setting, session: Session, action: int) -> Session:
    """Returns the session after a legal move of the person, and the others' answers to it."""
    state = session.state.clone()
    state.apply_action(action)
    position = _advance(setting, session.number, session.lineup, state)
    return session._replace(positions=(*session.positions, position))


def undo(session: Session) -> Session | None:
    """Returns the session before the person's last move in the present game; None if there is none."""
    if len(session.positions) == 1:
        return None
    return session._replace(positions=session.positions[:-1])


def all_results(setting: Setting, session: Session) -> tuple[float, ...]:
    """Returns the person's return in each finished game, the present one included if it is over."""
    if not session.state.is_terminal():
        return session.results
    return (*session.results, float(session.state.returns()[setting.player]))


def _start(setting: Setting, number: int, results: tuple[float, ...]) -> Session:
    lineup = setting.opponents.draw(_generator(setting.seed, number, 0))
    state = setting.opponents.game.new_initial_state()
    return Session(number, lineup, (_advance(setting, number, lineup, state),), results)


def _advance(setting: Setting, number: int, lineup: Lineup, state: Any) -> Position:
    """Plays on to the person's next decision or to the end, changing the state."""
    moves = []
    while not state.is_terminal() and (mover := state.current_player()) != setting.player:
        if state.is_chance_node():
            probabilities = dict(state.chance_outcomes())
        else:
            probabilities = lineup.behaviour(state, mover)
        # Game and move have two words of their own, so that no two random numbers have the same seed.
        uniform = _generator(setting.seed, number, 1 + len(state.history())).random()
        action = _pick(uniform, probabilities.items())
        moves.append(Move(state.clone(), mover, action, probabilities))
        state.apply_action(action)
    return Position(state, tuple(moves))


def _generator(seed: int, game: int, move: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(game, move)))


def _pick(uniform: float, outcomes: Iterable[tuple[int, float]]) -> int:
    """Returns the outcome in whose interval of [0, 1) a number lies.

    Raises:
      ValueError: the probabilities do not add up to 1.
    """
    left, total, last = uniform, 0.0, None
    for action, probability in outcomes:
        left -= probability
        total += probability
        if probability > 0.0:
            last = action
            if left < 0.0:
                return action
    # Rounding may leave the sum just below 1, and then the last possible outcome is meant.
    if last is None or not abs(total - 1.0) < _ROUNDING:
        raise ValueError(f"probabilities of a move add up to {total:g}, not to 1: the run cannot be played.")
    return last
