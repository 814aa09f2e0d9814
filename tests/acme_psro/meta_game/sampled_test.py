"""Payoffs of policies from files, by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.sampled import SimulationConfig
from tests.acme_psro.simulated_kuhn import make_game
from tests.acme_psro.simulated_kuhn import populations as populations
from tests.acme_psro.simulated_kuhn import tables as tables
from tests.acme_psro.simulated_kuhn import tree as tree


def test_payoffs_are_filled_and_refined_and_the_same_again(tree: GameTree, populations: Any) -> None:
    game = make_game(tree)
    small = game.extend([own[:2] for own in populations], None)
    assert small.episodes.sum() == 4 * 50 + 150 and small.episodes.min() == 50
    grown, again = (game.extend(populations, small) for _ in range(2))
    assert (grown.episodes[:2, :2] >= small.episodes).all()
    assert grown.episodes.sum() == small.episodes.sum() + 5 * 50 + 150
    for one, other in zip(grown, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "least"),
    [("payoff_episodes", 2), ("extra_payoff_episodes", 0), ("gain_episodes", 2), ("payoff_workers", 1)],
)
def test_budgets_that_say_nothing_are_refused(name: str, least: int) -> None:
    with pytest.raises(ValueError, match=f"^--{name} must be at least {least}, not {least - 1}.$"):
        SimulationConfig(**{name: least - 1})
    assert getattr(SimulationConfig(**{name: least}), name) == least


def test_there_are_as_many_workers_as_cores_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "acme_psro.system.cores.os.sched_getaffinity", lambda process: {3, 4, 5}, raising=False
    )
    assert SimulationConfig().payoff_workers == 3
