"""The moves that a state of an OpenSpiel game offers, checked while a game is compiled."""

from __future__ import annotations

from typing import Any

from acme_psro.games.loading import GameError

# Largest difference between a sum of chance probabilities and 1 that is explained by rounding.
_ROUNDING = 1e-6


def legal_actions(name: str, state: Any) -> list[int]:
    """Returns the legal actions at a decision, in ascending order.

    Args:
      name: the game's name, for messages.
      state: the state.

    Raises:
      GameError: there are none.
    """
    actions: list[int] = state.legal_actions()
    if not actions:
        raise GameError(f"{name} has a decision without any legal action: {tell(state)}.")
    return actions


def chance_outcomes(name: str, state: Any) -> list[tuple[int, float]]:
    """Returns the outcomes of a chance node with their probabilities.

    Args:
      name: the game's name, for messages.
      state: the state.

    Raises:
      GameError: the probabilities are no distribution.
    """
    outcomes: list[tuple[int, float]] = state.chance_outcomes()
    probabilities = [probability for _, probability in outcomes]
    # Written so that NaN is caught.
    if not (all(p >= 0 for p in probabilities) and abs(sum(probabilities) - 1) < _ROUNDING):
        raise GameError(
            f"{name} has a chance event whose probabilities are negative or add up to "
            f"{sum(probabilities):g}, not to 1: {tell(state)}."
        )
    return outcomes


def tell(state: Any) -> str:
    """Returns the moves that lead to a state, for a message."""
    history = state.history()
    return f"after the moves {history}" if history else "at its start"
