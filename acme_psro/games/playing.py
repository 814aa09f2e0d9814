"""Observations of a player of an OpenSpiel game, and sampling of the moves of chance and other players.

These rules are shared by the environment of a single game (`acme_psro.games.environment`) and by games that
are stepped in parallel (`acme_psro.games.batched`).

Dimensions: `D` numbers in an observation, `A` distinct actions, `n` states.
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
# After so many games in a row without a decision of the player, its environment gives up.
MAX_GAMES_WITHOUT_DECISION = 10_000
# Largest difference between a sum of probabilities and 1 that is explained by rounding.
_ROUNDING = 1e-6


class NoDecisionError(GameError):
    """The other players always end the game before the player can decide anything."""


def no_decision(game: pyspiel.Game, player: int) -> NoDecisionError:
    """Returns the error to raise after `MAX_GAMES_WITHOUT_DECISION` games without a decision."""
    return NoDecisionError(
        f"player {player} of {game} had nothing to decide in {MAX_GAMES_WITHOUT_DECISION:,} games in a row: "
        "choose another player, or opponents that let it decide."
    )


def checked_player(game: pyspiel.Game, player: int) -> int:
    """Returns the player, after checking that the game has it.

    Raises:
      GameError: the game has no such player.
    """
    players = game.num_players()
    if not 0 <= player < players:
        raise GameError(f"{game} has no player {player}: choose one of 0 to {players - 1}.")
    return player


def tensor_of(game: pyspiel.Game) -> tuple[Callable[[Any, int], list[float]], int]:
    """Finds the tensor by which players observe a game: the information state tensor if the game has one.

    Returns:
      A function `(state, player) -> [D]` list of float, and the size `D`.

    Raises:
      GameError: the game has neither information state tensors nor observation tensors.
    """
    game_type = game.get_type()
    if game_type.provides_information_state_tensor:
        return lambda state, player: state.information_state_tensor(
            player
        ), game.information_state_tensor_size()
    if game_type.provides_observation_tensor:
        return lambda state, player: state.observation_tensor(player), game.observation_tensor_size()
    raise GameError(
        f"{game} offers no tensors to observe: train in it on the device (--oracle=device), which numbers "
        "its information states, or choose another game."
    )


def make_observation(info_state: Any, legal_actions: Any) -> Observation:
    """Makes the observation of one state or of several, with NumPy arrays and an empty context.

    Args:
      info_state: `[D]` or `[n, D]` numbers.
      legal_actions: `[A]` or `[n, A]` bool or 0 and 1.
    """
    seen = np.array(info_state, np.float32)
    # The type Any is needed because `Observation` declares JAX arrays. It can also hold NumPy arrays.
    arrays: tuple[Any, ...] = (
        seen,
        np.array(legal_actions, bool),
        np.zeros((*seen.shape[:-1], 0), np.float32),
    )
    return Observation(*arrays)


def make_nothing(game: pyspiel.Game) -> Observation:
    """Makes the observation at the end of an episode, at which there is nothing to observe.

    It consists of zeros. All actions are legal, so that a softmax over the legal actions is defined.

    Raises:
      GameError: the game has no tensors.
    """
    _, width = tensor_of(game)
    return make_observation(np.zeros(width), np.ones(game.num_distinct_actions()))


def make_observe(game: pyspiel.Game) -> Callable[[Sequence[Any], int], Observation]:
    """Makes the function that observes several states at once.

    Returns:
      A function `(states, player) -> Observation` with arrays `[n, ..]`. The player must be to move in all
      states.

    Raises:
      GameError: the game has no tensors.
    """
    tensor, _ = tensor_of(game)

    def observe(states: Sequence[Any], player: int) -> Observation:
        info_state = [tensor(state, player) for state in states]
        return make_observation(info_state, [state.legal_actions_mask(player) for state in states])

    return observe


def pays_at_end(game: pyspiel.Game) -> bool:
    """Returns True if all rewards of the game are paid at its end."""
    return bool(game.get_type().reward_model == pyspiel.GameType.RewardModel.TERMINAL)


def draw(rng: np.random.Generator, outcomes: Iterable[tuple[int, float]]) -> int:
    """Samples an action.

    Args:
      rng: the random generator. Exactly one number is drawn from it.
      outcomes: pairs of an action and its probability.

    Raises:
      ValueError: the probabilities do not add up to 1.
    """
    uniform = left = rng.random()
    last = None
    for action, probability in outcomes:
        left -= probability
        if left < 0.0:
            return action
        if probability > 0.0:
            last = action
    # The uniform number was not reached. Rounding of the sum explains a small rest, and then the last
    # possible action is meant. The form `not <` also catches NaN.
    if last is None or not left < _ROUNDING:
        raise _not_one(uniform - left)
    return last


def draw_each(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Samples an action for each row of probabilities.

    Args:
      rng: the random generator. Exactly one number is drawn from it for each row.
      probabilities: `[n, A]` probabilities.

    Returns:
      `[n]` int, the sampled actions.

    Raises:
      ValueError: a row does not add up to 1.
    """
    below = np.cumsum(probabilities, axis=1)
    # The negated comparison also catches NaN.
    wrong = ~(np.abs(below[:, -1] - 1.0) < _ROUNDING)
    if wrong.any():
        raise _not_one(below[wrong, -1][0])
    drawn = (below <= rng.random(len(below))[:, np.newaxis]).sum(axis=1)
    # If rounding has made a sum smaller than 1, a uniform number may exceed it. Then the last possible action
    # is meant.
    for row in np.flatnonzero(drawn == below.shape[1]):
        drawn[row] = np.flatnonzero(probabilities[row])[-1]
    return drawn


def _not_one(total: float) -> ValueError:
    return ValueError(f"probabilities add up to {total:g}, not to 1: check the opponents' policies.")
