"""Tests of sampled payoffs: cells are filled once, and further episodes go where they matter."""

import functools
from typing import Any

import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.meta_game import estimates, simulation
from acme_psro.meta_game.estimates import SampledPayoffs, fill, more_where_uncertain, share_out
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.payoffs import empty_payoffs, meta_regret
from acme_psro.meta_game.simulation import SampledReturns
from acme_psro.policies import decoders
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Population, make_policy
from acme_psro.solvers import nash, uniform


class Cells:
    """Normal returns of a zero-sum game with known means and deviations; keeps account of what is asked."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.mean, self.deviation = mean, deviation
        self.asked: list[tuple[list[list[int]], list[int], list[int]]] = []

    def play(self, cells: np.ndarray, episodes: np.ndarray, begun: np.ndarray) -> SampledReturns:
        self.asked.append((cells.tolist(), episodes.tolist(), begun.tolist()))
        means, errors = [], []
        for cell, number, first in zip(cells.tolist(), episodes, begun, strict=True):
            rng = np.random.default_rng([*cell, int(first)])
            drawn = rng.normal(self.mean[tuple(cell)], self.deviation[tuple(cell)], number)
            means.append([drawn.mean(), -drawn.mean()])
            error = drawn.std(ddof=1) / np.sqrt(number) if number > 1 else np.nan
            errors.append([error, error])
        return SampledReturns(episodes.copy(), np.array(means), np.array(errors))


def draw_populations(tree: GameTree, random_table: Any, size: int) -> tuple[Population, ...]:
    return tuple(
        tuple(
            make_policy(tree, player, random_table(tree, 50 * player + k)[tree.infosets_of(player)])
            for k in range(size)
        )
        for player in range(tree.num_players)
    )


@pytest.mark.games("kuhn", "kuhn_3p")
def test_populations_that_grow_are_filled_cell_by_cell(case: Any, random_table: Any) -> None:
    tree, players = case.tree, case.tree.num_players
    populations = draw_populations(tree, random_table, 3)
    policies = [
        [decoders.decode_table(decoders.from_tree_policy(tree, player, each)) for each in own]
        for player, own in enumerate(populations)
    ]
    play = functools.partial(_simulate, case.string, policies)
    small = fill(play, estimates.empty(players), [2] * players, 60)
    assert small.mean.shape == small.standard_error.shape == (players, *[2] * players)
    assert (small.episodes == 60).all()
    grown = fill(play, small, [3] * players, 60)
    known = tuple(slice(2) for _ in range(players))
    for after, before in zip(grown, small, strict=True):
        inner = known if after.ndim == players else (slice(None), *known)
        np.testing.assert_array_equal(after[inner], before)
    at_once = fill(play, estimates.empty(players), [3] * players, 60)
    for after, other in zip(grown, at_once, strict=True):
        np.testing.assert_array_equal(after, other)
    exact = exact_payoffs(tree, populations, empty_payoffs(players))
    assert (np.abs(grown.mean - exact) < 4.5 * grown.standard_error).all()
    assert not np.array_equal(grown.mean, exact)


def _simulate(game: str, policies: Any, cells: Any, episodes: Any, begun: Any) -> SampledReturns:
    return simulation.simulate(game, policies, cells, episodes, 3, begun)


def test_cells_that_have_enough_are_not_played_again() -> None:
    cells = Cells(np.zeros((2, 2)), np.ones((2, 2)))
    small = fill(cells.play, estimates.empty(2), [1, 2], 10)
    assert cells.asked.pop() == ([[0, 0], [0, 1]], [10, 10], [0, 0])
    fill(cells.play, small, [1, 2], 10)
    assert cells.asked == []
    fill(cells.play, small, [2, 2], 15)
    assert cells.asked == [([[0, 0], [0, 1], [1, 0], [1, 1]], [5, 5, 15, 15], [10, 10, 0, 0])]


def test_extending_keeps_known_cells_and_refuses_to_shrink() -> None:
    cells = Cells(np.zeros((2, 2)), np.ones((2, 2)))
    small = fill(cells.play, estimates.empty(2), [2, 1], 4)
    grown = estimates.extend(small, [2, 2])
    assert grown.episodes.tolist() == [[4, 0], [4, 0]]
    np.testing.assert_array_equal(grown.mean[:, :, :1], small.mean)
    assert np.isnan(grown.mean[:, :, 1]).all()
    assert np.isnan(grown.standard_error[:, :, 1]).all()
    with pytest.raises(ValueError, match="cannot become one of"):
        estimates.extend(small, [1, 1])
    with pytest.raises(ValueError, match="at least 2 episodes, so that its error is known, not 1"):
        fill(cells.play, small, [2, 2], 1)


def brute_force(weight: np.ndarray, count: np.ndarray, budget: int) -> np.ndarray:
    """One episode after the other to where counts are furthest below their proportions."""
    shared = np.zeros_like(count)
    for _ in range(budget):
        ratio = np.where(weight > 0, (count + shared) / np.where(weight > 0, weight, 1.0), np.inf)
        shared[np.argmin(ratio)] += 1
    return shared


@pytest.mark.parametrize("seed", range(8))
def test_sharing_out_is_what_handing_out_one_by_one_comes_to(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.exponential(size=12) * (rng.random(12) < 0.8)
    count = rng.integers(2, 60, 12)
    shared = share_out(weight, count, 150)
    assert shared.sum() == 150
    assert (shared >= 0).all()
    assert (shared[weight == 0] == 0).all()
    np.testing.assert_allclose(shared, brute_force(weight, count, 150), atol=2)


def test_nothing_is_shared_out_where_nothing_is_wanted() -> None:
    count = np.full((2, 2), 5)
    assert share_out(np.zeros((2, 2)), count, 100).tolist() == [[0, 0], [0, 0]]
    assert share_out(np.ones((2, 2)), count, 0).tolist() == [[0, 0], [0, 0]]
    assert share_out(np.ones((2, 2)), count, 6).sum() == 6


# Rock, paper, scissors, and a fourth move of either player that nobody makes.
MEANS = np.array([[0.0, -1, 1, 5], [1, 0, -1, 5], [-1, 1, 0, 5], [-5, -5, -5, 0]])


def test_further_episodes_go_where_the_answer_hangs_upon_them() -> None:
    deviation = np.where(np.arange(16).reshape(4, 4) % 2 == 0, 1.0, 3.0)
    cells = Cells(MEANS, deviation)
    first = fill(cells.play, estimates.empty(2), [4, 4], 200)
    more = more_where_uncertain(cells.play, first, nash.solve, 20_000)
    further = more.episodes - first.episodes
    assert further.sum() == 20_000
    # Nobody's fourth move comes near being a best response, nor is it played.
    assert (further[3] == 0).all()
    assert (further[:, 3] == 0).all()
    # Of the others each is as probable as any, so that they go by deviations: one to three.
    inner, spread = more.episodes[:3, :3], deviation[:3, :3]
    ratio = inner[spread == 3.0].mean() / inner[spread == 1.0].mean()
    assert 2.5 < ratio < 3.5
    assert (more.standard_error[:, :3, :3] < first.standard_error[:, :3, :3]).all()
    np.testing.assert_array_equal(more.mean[0], -more.mean[1])


def test_spending_by_uncertainty_brings_the_answer_nearer_than_spending_evenly() -> None:
    """Twelve policies a player, of which few matter: the truth's regret of what the solver answers."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(12, 12))
    cells = Cells(means, np.exp(rng.normal(size=(12, 12))))
    truth = np.stack([means, -means])
    regrets = []
    for lift in range(12):
        # Other episodes in each trial.
        play = functools.partial(_shifted, cells, 100_000 * lift)
        first = fill(play, estimates.empty(2), [12, 12], 20)
        spent = more_where_uncertain(play, first, nash.solve, 144 * 100)
        evenly = fill(play, first, [12, 12], 120)
        assert spent.episodes.sum() == evenly.episodes.sum()
        regrets.append([meta_regret(truth, nash.solve(each.mean)).sum() for each in (spent, evenly)])
    by_uncertainty, evenly_spent = np.mean(regrets, axis=0)
    assert by_uncertainty < 0.75 * evenly_spent


def _shifted(cells: Cells, by: int, chosen: Any, episodes: Any, begun: Any) -> SampledReturns:
    return cells.play(chosen, episodes, begun + by)


def test_contenders_are_those_whose_earnings_are_not_told_apart() -> None:
    means = np.array([[0.0], [-0.1], [-3.0]])
    payoffs = SampledPayoffs(np.stack([means, -means]), np.full((3, 1), 100), np.full((2, 3, 1), 0.1))
    weight = estimates.influence(
        payoffs, ProductStrategy((np.array([1.0, 0.0, 0.0]), np.ones(1))), estimates.deviations(payoffs)
    )
    assert weight.tolist() == [[1.0], [1.0], [0.0]]


def test_cells_whose_few_episodes_ended_alike_are_not_taken_for_certain() -> None:
    means = np.zeros((2, 1, 2))
    error = np.zeros((2, 1, 2))
    error[:, 0, 1] = 0.5
    payoffs = SampledPayoffs(means, np.array([[3, 3]]), error)
    deviation = estimates.deviations(payoffs)
    # The second's sum of squares is 1.5; pooled over 4 degrees of freedom it is 0.375.
    np.testing.assert_allclose(deviation[0, 0] ** 2, [0.375 / 3, (1.5 + 0.375) / 3])


def test_a_game_without_luck_needs_no_further_episodes() -> None:
    cells = Cells(MEANS, np.zeros((4, 4)))
    first = fill(cells.play, estimates.empty(2), [4, 4], 2)
    cells.asked.clear()
    more = more_where_uncertain(cells.play, first, uniform.solve, 100)
    assert cells.asked == []
    assert more is first


def test_bad_input_is_one_line() -> None:
    cells = Cells(MEANS, np.ones((4, 4)))
    first = fill(cells.play, estimates.empty(2), [4, 4], 2)
    with pytest.raises(ValueError, match="budget must not be negative and rounds at least 1, not -1 and 4"):
        more_where_uncertain(cells.play, first, nash.solve, -1)
    with pytest.raises(ValueError, match="not 5 and 0"):
        more_where_uncertain(cells.play, first, nash.solve, 5, rounds=0)
    with pytest.raises(ValueError, match="fill the payoffs first"):
        more_where_uncertain(cells.play, estimates.extend(first, [5, 4]), nash.solve, 5)
