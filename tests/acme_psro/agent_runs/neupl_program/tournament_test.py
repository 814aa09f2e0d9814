"""Tests of evaluation games, against exact payoffs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program.members import Members
from acme_psro.agent_runs.neupl_program.tournament import Tournament
from acme_psro.games.loading import largest_return
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.payoff_estimator import Outcomes
from acme_psro.policies.tabular import make_policy

MakeTournament = Callable[..., Tournament]


@pytest.fixture
def make(probs: Callable[..., Any], graph: np.ndarray) -> MakeTournament:
    """`(share, num_games, report) -> Tournament`."""
    members = Members("kuhn_poker", probs, lambda: "newest", graph)
    return lambda share, num, report, seed=0: Tournament("kuhn_poker", members, share, num, report, seed)


def test_evaluation_games_have_their_share_of_all_games(make: MakeTournament) -> None:
    reports: list[Outcomes] = []
    tournament = make(0.3, 10, reports.append)
    for _ in range(100):
        tournament.add_ended(7)
    assert {len(played.outcome) for played in reports} == {10}
    num = 10 * len(reports)
    assert num / (num + 700) == pytest.approx(0.3, abs=0.005)


def test_outcomes_are_those_of_the_members_and_pairs_are_drawn_evenly(
    make: MakeTournament, graph: np.ndarray, tree: GameTree, tables: np.ndarray
) -> None:
    played = make(0.3, 10, lambda _: None).play(16_000)
    populations = tuple(
        tuple(make_policy(tree, player, table[tree.infosets_of(player)]) for table in tables)
        for player in range(2)
    )
    exact = exact_payoffs(tree, populations)[0] / tree.utility_scale
    for one, first in enumerate(graph[0]):
        for other, second in enumerate(graph[1]):
            is_pair = (played.first == np.float32(first)).all(axis=1)
            is_pair &= (played.second == np.float32(second)).all(axis=1)
            own = played.outcome[is_pair]
            assert 850 < len(own) < 1150
            assert abs(own.mean() - exact[one, other]) < 4.5 * own.std() / np.sqrt(len(own))
    assert played.outcome.dtype == played.first.dtype == np.float32


def test_games_depend_on_the_seed_alone(make: MakeTournament) -> None:
    one, again, other = (make(0.3, 10, lambda _: None, seed).play(50) for seed in (1, 1, 2))
    for left, right in zip(one, again, strict=True):
        np.testing.assert_array_equal(left, right)
    assert (one.outcome != other.outcome).any()


@pytest.mark.parametrize(
    ("game", "largest"), [("kuhn_poker", 2.0), ("phantom_ttt", 1.0), ("leduc_poker", 13.0)]
)
def test_outcomes_are_in_units_of_the_largest_return(game: str, largest: float) -> None:
    assert largest_return(game) == largest
