"""What a player of an OpenSpiel game sees, and how the moves of chance and of others are drawn.

One game and many side by side are played by these same rules: see `acme_psro.games.environment` and
`acme_psro.games.batched`.

Dimensions: `D` numbers of an information state, `A` distinct actions; `n` states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyspiel

from acme_psro.games.loading import GameError
from agents.core import Observation

TERMINAL = int(pyspiel.PlayerId.TERMINAL)
CHANCE = int(pyspiel.PlayerId.CHANCE)
MAX_GAMES_WITHOUT_DECISION = 10_000
_ROUNDING = 1e-6


class NoDecisionError(GameError):
    """The player has nothing to decide in any game that the others play."""


def no_decision(game: pyspiel.Game, player: int) -> NoDecisionError:
    """What to raise after `MAX_GAMES_WITHOUT_DECISION` games."""
    return NoDecisionError(
        f"player {player} of {game} had nothing to decide in {MAX_GAMES_WITHOUT_DECISION:,} games in a row: "
        "choose another player, or opponents that let it decide."
    )


def checked_player(game: pyspiel.Game, player: int) -> int:
    """The player, where the game has it; a GameError elsewhere."""
    players = game.num_players()
    if not 0 <= player < players:
        raise GameError(f"{game} has no player {player}: choose one of 0 to {players - 1}.")
    return player


def tensor_of(game: pyspiel.Game) -> tuple[Callable[[Any, int], list[float]], int]:
    """(state, player) -> what the player observes `[D]`, and `D`.

    Raises:
      GameError: the game has no tensors.
    """
    kind = game.get_type()
    if kind.provides_information_state_tensor:
        return lambda state, player: state.information_state_tensor(
            player
        ), game.information_state_tensor_size()
    if kind.provides_observation_tensor:
        return lambda state, player: state.observation_tensor(player), game.observation_tensor_size()
    raise GameError(
        f"{game} offers no tensors to observe: train in it on the device (--oracle=device), which numbers "
        "its information states, or choose another game."
    )


def make_observation(info_state: Any, legal_actions: Any) -> Observation:
    """Of one state, `[D]` and `[A]`, or of several, `[n, D]` and `[n, A]`, with an empty context."""
    seen = np.array(info_state, np.float32)
    # Any: an `Observation` is declared with JAX's arrays, and may as well hold NumPy's.
    arrays: tuple[Any, ...] = (
        seen,
        np.array(legal_actions, bool),
        np.zeros((*seen.shape[:-1], 0), np.float32),
    )
    return Observation(*arrays)


def make_nothing(game: pyspiel.Game) -> Observation:
    """What is observed at the end of an episode: zeros, and all actions legal, so that none is masked."""
    _, width = tensor_of(game)
    return make_observation(np.zeros(width), np.ones(game.num_distinct_actions()))


def make_observe(game: pyspiel.Game) -> Callable[[Sequence[Any], int], Observation]:
    """(states, player) -> what the player observes in each, `[n, ..]`; it is to move in all of them.

    Raises:
      GameError: the game has no tensors.
    """
    tensor, _ = tensor_of(game)

    def observe(states: Sequence[Any], player: int) -> Observation:
        info_state = [tensor(state, player) for state in states]
        return make_observation(info_state, [state.legal_actions_mask(player) for state in states])

    return observe


def pays_at_end(game: pyspiel.Game) -> bool:
    """Whether nothing is paid before a game is over."""
    return bool(game.get_type().reward_model == pyspiel.GameType.RewardModel.TERMINAL)


def draw(rng: np.random.Generator, outcomes: Iterable[tuple[int, float]]) -> int:
    """Draws an action by its probability.

    Raises:
      ValueError: probabilities that do not add up to 1.
    """
    uniform = left = rng.random()
    last = None
    for action, probability in outcomes:
        left -= probability
        if left < 0.0:
            return action
        if probability > 0.0:
            last = action
    if last is None or not left < _ROUNDING:
        raise _not_one(uniform - left)
    return last


def draw_each(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Draws an action for each row of probabilities `[n, A]`; returns `[n]` int.

    Raises:
      ValueError: a row that does not add up to 1.
    """
    below = np.cumsum(probabilities, axis=1)
    wrong = ~(np.abs(below[:, -1] - 1.0) < _ROUNDING)
    if wrong.any():
        raise _not_one(below[wrong, -1][0])
    drawn = (below <= rng.random(len(below))[:, np.newaxis]).sum(axis=1)
    # The largest numbers that are drawn may exceed a sum that rounding has made smaller than 1.
    for row in np.flatnonzero(drawn == below.shape[1]):
        drawn[row] = np.flatnonzero(probabilities[row])[-1]
    return drawn


def _not_one(total: float) -> ValueError:
    return ValueError(f"probabilities add up to {total:g}, not to 1: check the opponents' policies.")
