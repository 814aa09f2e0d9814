"""Tests of simulation: unbiased, with honest errors, the same for the same seed whatever else is played."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.games import batch_policies
from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import simulation
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.payoffs import empty_payoffs
from acme_psro.meta_game.simulation import SampledReturns, merge, simulate
from acme_psro.policies import decoders
from acme_psro.policies.tabular import Population, make_policy


def draw_populations(tree: GameTree, random_table: Any, sizes: Sequence[int]) -> tuple[Population, ...]:
    return tuple(
        tuple(
            make_policy(tree, player, random_table(tree, 100 * player + k)[tree.infosets_of(player)])
            for k in range(size)
        )
        for player, size in enumerate(sizes)
    )


def decoded(tree: GameTree, populations: Sequence[Population]) -> list[list[BatchPolicy]]:
    return [
        [decoders.decode_table(decoders.from_tree_policy(tree, player, each)) for each in own]
        for player, own in enumerate(populations)
    ]


def all_profiles(sizes: Sequence[int]) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, sizes))))


def assert_same(one: SampledReturns, other: SampledReturns) -> None:
    for field, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, expected)


GAMES = (
    "kuhn_poker",
    "kuhn_poker(players=3)",
    "leduc_poker",
    "leduc_poker(suit_isomorphism=True)",
    "goofspiel(imp_info=True,num_cards=4,points_order=descending)",
    "matrix_pd",
    "matching_pennies_3p",
    "first_sealed_auction(max_value=4)",
)


def distances(tree: GameTree, random_table: Any, episodes: int) -> np.ndarray:
    """Returns each cell's distance from the exact payoff, in standard errors.

    One player's: in two-player zero-sum games the other's are the same.
    """
    sizes = [6, 6] if tree.num_players == 2 else [3, 3, 3]
    populations = draw_populations(tree, random_table, sizes)
    exact = exact_payoffs(tree, populations, empty_payoffs(tree.num_players))
    profiles = all_profiles(sizes)
    found = simulate(tree.game_string, decoded(tree, populations), profiles, episodes, seed=7)
    assert (found.episodes == episodes).all()
    return (found.mean[:, 0] - exact[(0, *profiles.T)]) / found.standard_error[:, 0]


def test_intervals_of_95_percent_cover_exact_payoffs_as_often(compiled: Any, random_table: Any) -> None:
    """Of 270 intervals as many as a binomial distribution allows in 99.9 % of cases, at either side."""
    by_game = [distances(compiled(game), random_table, 300) for game in GAMES]
    away = np.abs(np.concatenate(by_game))
    assert len(away) == 270
    assert 242 <= (away <= 1.96).sum() <= 267
    # 95 % of two thirds as wide a one: 80 %.
    assert 193 <= (away <= 1.2816).sum() <= 235
    for game, those in zip(GAMES, by_game, strict=True):
        # No game is off on the whole: their mean has a standard error of 1 / sqrt(n).
        assert abs(those.mean()) * np.sqrt(len(those)) < 3.5, game


@pytest.mark.games("kuhn", "goofspiel")
def test_returns_of_zero_sum_games_add_up_to_zero(case: Any, random_table: Any) -> None:
    populations = draw_populations(case.tree, random_table, [2, 2])
    found = simulate(case.string, decoded(case.tree, populations), all_profiles([2, 2]), 700, seed=0)
    np.testing.assert_allclose(found.mean.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.standard_error[:, 0], found.standard_error[:, 1], rtol=1e-9)


@pytest.mark.games("rock_paper_scissors", "pennies_3p", "cliff_walking")
def test_what_is_certain_has_no_error(case: Any, pure_table: Any) -> None:
    """Rewards inside an episode add up, moves at once are made one after the other."""
    tree = case.tree
    table = pure_table(tree, 3)
    own = tuple(
        (make_policy(tree, player, table[tree.infosets_of(player)]),) for player in range(tree.num_players)
    )
    exact = exact_payoffs(tree, own, empty_payoffs(tree.num_players)).ravel()
    profile = np.zeros((1, tree.num_players), int)
    if case.has_strings:
        found = simulate(case.string, decoded(tree, own), profile, 20, seed=0)
        np.testing.assert_allclose(found.mean[0], exact, rtol=1e-12)
        assert (found.standard_error == 0).all()


def test_games_without_chance_and_with_observations_only_are_played() -> None:
    """Catch: the ball begins in one of 5 columns, and a paddle that moves at random seldom gets there."""
    play = batch_policies.uniform("catch")
    found = simulate("catch", [[play]], np.array([[0]]), 400, seed=1)
    assert -1 < found.mean[0, 0] < 0
    expected = np.sqrt((1 - found.mean[0, 0] ** 2) / 399)
    assert found.standard_error[0, 0] == pytest.approx(expected)


@pytest.fixture
def kuhn(compiled: Any, random_table: Any) -> list[list[BatchPolicy]]:
    tree = compiled("kuhn_poker")
    return decoded(tree, draw_populations(tree, random_table, [3, 2]))


def test_the_same_seed_gives_the_same_returns_whatever_else_is_played(kuhn: Any) -> None:
    profiles = all_profiles([3, 2])
    whole = simulate("kuhn_poker", kuhn, profiles, 600, seed=5)
    assert_same(simulate("kuhn_poker", kuhn, profiles, 600, seed=5), whole)
    backwards = simulate("kuhn_poker", kuhn, profiles[::-1], 600, seed=5)
    assert_same(SampledReturns(*(field[::-1] for field in backwards)), whole)
    alone = simulate("kuhn_poker", kuhn, profiles[3:4], 600, seed=5)
    assert_same(alone, SampledReturns(*(field[3:4] for field in whole)))
    other = simulate("kuhn_poker", kuhn, profiles, 600, seed=6)
    assert (other.mean != whole.mean).any(axis=1).all()


def test_further_episodes_are_others(kuhn: Any) -> None:
    profiles = all_profiles([3, 2])
    first = simulate("kuhn_poker", kuhn, profiles, 300, seed=5)
    second = simulate("kuhn_poker", kuhn, profiles, 300, seed=5, begun=300)
    assert (first.mean != second.mean).any(axis=1).all()
    # Nor do profiles share their episodes.
    assert len(np.unique(first.mean[:, 0])) > 1


def test_profiles_may_get_different_numbers_of_episodes(kuhn: Any) -> None:
    profiles = all_profiles([3, 2])[:4]
    found = simulate("kuhn_poker", kuhn, profiles, np.array([0, 1, 2, 1200]), seed=0)
    assert found.episodes.tolist() == [0, 1, 2, 1200]
    assert np.isnan(found.mean[0]).all()
    assert np.isfinite(found.mean[1:]).all()
    assert np.isnan(found.standard_error[:2]).all()
    assert np.isfinite(found.standard_error[2:]).all()


def test_means_and_errors_are_those_of_all_episodes(kuhn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    returns: list[np.ndarray] = []
    play = simulation.play
    monkeypatch.setattr(simulation, "play", lambda *given: returns.append(play(*given)) or returns[-1])
    found = simulate("kuhn_poker", kuhn, np.array([[1, 1]]), 1300, seed=2)
    assert [len(part) for part in returns] == [512, 512, 276]
    every = np.concatenate(returns)
    assert found.episodes[0] == len(every) == 1300
    np.testing.assert_allclose(found.mean[0], every.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.standard_error[0], every.std(axis=0, ddof=1) / np.sqrt(1300), rtol=1e-12)


def test_merging_keeps_what_small_differences_of_large_returns_say() -> None:
    rng = np.random.default_rng(0)
    returns = 1e6 + rng.normal(size=(1001, 2))
    parts = [returns[:1], returns[1:1], returns[1:400], returns[400:]]
    merged = SampledReturns(np.array([0]), np.full((1, 2), np.nan), np.full((1, 2), np.nan))
    for part in parts:
        some = len(part) > 0
        mean = part.mean(axis=0) if some else np.full(2, np.nan)
        error = part.std(axis=0, ddof=1) / np.sqrt(len(part)) if len(part) > 1 else np.full(2, np.nan)
        merged = merge(merged, SampledReturns(np.array([len(part)]), mean[None], error[None]))
    assert merged.episodes.tolist() == [1001]
    np.testing.assert_allclose(merged.mean[0] - 1e6, (returns - 1e6).mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(
        merged.standard_error[0], returns.std(axis=0, ddof=1) / np.sqrt(1001), rtol=1e-8
    )


def test_policies_are_asked_for_many_states_at_once(kuhn: Any) -> None:
    asked: list[tuple[int, int]] = []

    def note(states: Sequence[Any], player: int) -> np.ndarray:
        asked.append((player, len(states)))
        assert all(state.current_player() == player for state in states)
        return kuhn[player][0](states, player)

    simulate("kuhn_poker", [[note], [note]], np.array([[0, 0]]), 512, seed=0)
    # Player 0, then player 1, then in some games player 0 once more.
    assert [player for player, _ in asked] == [0, 1, 0]
    assert asked[0][1] == asked[1][1] == 512 > asked[2][1] > 0


def constant(row: Sequence[float]) -> BatchPolicy:
    return lambda states, player: np.tile(np.array(row), (len(states), 1))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0.5, 0.4), "probabilities add up to 0.9, not to 1"),
        ((np.nan, 1.0), "probabilities add up to nan, not to 1"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(row: Sequence[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate("kuhn_poker", [[constant(row)]] * 2, np.array([[0, 0]]), 5, seed=0)


def test_illegal_actions_are_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    fold = constant((1.0, 0.0, 0.0))
    message = r"^the policy of player 0 chose action 0, which is not legal: .* 0 beside \[1, 2\]\.$"
    with pytest.raises(ValueError, match=message):
        simulate("leduc_poker", [[fold]] * 2, np.array([[0, 0]]), 5, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profiles": np.array([0, 0])}, r"profiles must be whole numbers \[n, 2\]"),
        ({"profiles": np.array([[0.0, 0.0]])}, "not float64 of shape"),
        ({"profiles": np.array([[0, 2]])}, r"not there: populations have sizes \[3, 2\]"),
        ({"profiles": np.array([[-1, 0]])}, "not there"),
        ({"profiles": np.array([[0, 1], [0, 1]])}, "a profile is named twice"),
        ({"episodes": -1}, "episodes must not be negative"),
        ({"begun": np.array([-1])}, "episodes must not be negative"),
        ({"game": "kuhn_poker(players=3)"}, "has 3 players, not 2"),
        ({"game": "no_such_game"}, "unknown game 'no_such_game'"),
    ],
)
def test_bad_input_is_one_line(change: dict[str, Any], message: str, kuhn: Any) -> None:
    given = {"game": "kuhn_poker", "profiles": np.array([[0, 0]]), "episodes": 5, "begun": 0} | change
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        simulate(given["game"], kuhn, given["profiles"], given["episodes"], 0, given["begun"])
