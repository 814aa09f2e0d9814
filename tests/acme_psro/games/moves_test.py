"""Tests of the moves that states offer: decisions have actions, and chance has probabilities."""

from __future__ import annotations

from typing import Any

import pytest

from acme_psro.games.loading import GameError, load_game
from acme_psro.games.moves import chance_outcomes, legal_actions, tell


class Offering:
    """A state that offers given moves."""

    def __init__(self, *outcomes: tuple[int, float]) -> None:
        self._outcomes = list(outcomes)

    def legal_actions(self) -> list[int]:
        return [action for action, _ in self._outcomes]

    def chance_outcomes(self) -> list[tuple[int, float]]:
        return self._outcomes

    def history(self) -> list[int]:
        return [3, 1]


def test_moves_of_openspiels_states() -> None:
    state = load_game("kuhn_poker").new_initial_state()
    assert tell(state) == "at its start"
    assert chance_outcomes("kuhn_poker", state) == [(card, pytest.approx(1 / 3)) for card in range(3)]
    for card in (0, 1):
        state.apply_action(card)
    assert legal_actions("kuhn_poker", state) == [0, 1]
    assert tell(state) == "after the moves [0, 1]"


def test_a_decision_without_actions_is_refused() -> None:
    with pytest.raises(GameError, match=r"mine has a decision without any legal action: after .* \[3, 1\]"):
        legal_actions("mine", Offering())


@pytest.mark.parametrize(
    "outcomes",
    [[(0, 0.5), (1, 0.4)], [(0, 1.5), (1, -0.5)], [(0, float("nan")), (1, 1.0)], []],
)
def test_chance_without_a_distribution_is_refused(outcomes: Any) -> None:
    with pytest.raises(GameError, match="a chance event whose probabilities are negative or add up to"):
        chance_outcomes("mine", Offering(*outcomes))
