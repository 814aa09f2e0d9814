"""Alpha-Rank: values by hand for every alpha, OpenSpiel where it is stable, invariances, and limits."""

import math
import time

import numpy as np
import pytest
from open_spiel.python.egt import alpharank as openspiel_alpharank

from acme_psro.meta_game.profiles import cell_probabilities
from acme_psro.solvers import alpha_rank, stationary

WINS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
ROCK_PAPER_SCISSORS = np.stack([WINS, -WINS])
CHICKEN = np.array([[[0.0, 7.0], [2.0, 6.0]], [[0.0, 2.0], [7.0, 6.0]]])
PRISONERS_DILEMMA = np.array([[[5.0, 0.0], [10.0, 1.0]], [[5.0, 10.0], [0.0, 1.0]]])


def shares(payoffs: np.ndarray, **options: float) -> np.ndarray:
    """Returns `[n_1, .., n_P]`."""
    return cell_probabilities(alpha_rank.solve(payoffs, **options), payoffs.shape[1:])


def random_game(*sizes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (len(sizes), *sizes))


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e2, 1e4, math.inf])
def test_values_by_hand_for_every_alpha(alpha: float) -> None:
    np.testing.assert_allclose(shares(ROCK_PAPER_SCISSORS, alpha=alpha), np.full((3, 3), 1 / 9), atol=1e-9)
    np.testing.assert_allclose(shares(np.zeros((3, 2, 2, 2)), alpha=alpha), 1 / 8, atol=1e-12)
    if alpha >= 1e2:
        rows = np.array([[0.0, 1.0], [-1.0, 0.0]])
        np.testing.assert_allclose(shares(np.stack([rows, -rows]), alpha=alpha), [[1, 0], [0, 0]], atol=1e-5)
        np.testing.assert_allclose(shares(CHICKEN, alpha=alpha), [[0, 0.5], [0.5, 0]], atol=1e-5)


@pytest.mark.parametrize("alpha", [1e-2, 0.3, 10.0, 1e3, 1e5])
@pytest.mark.parametrize("sizes", [(3, 4), (2, 3, 2)])
def test_players_with_common_payoffs_are_in_detailed_balance(sizes: tuple[int, ...], alpha: float) -> None:
    """The ratio of the rates there and back is e^((m-1) alpha gain), so that shares are a softmax."""
    common = random_game(*sizes)[0]
    logs = 49 * alpha * common
    expected = np.exp(logs - logs.max())
    found = shares(np.stack([common] * len(sizes)), alpha=alpha)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-9)


def test_infinite_alpha_in_the_prisoners_dilemma() -> None:
    eps = 0.1
    weights = np.array([[eps**2, eps * (1 - eps)], [eps * (1 - eps), (1 - eps) ** 2]])
    np.testing.assert_allclose(shares(PRISONERS_DILEMMA, eps=eps), weights / weights.sum(), atol=1e-12)
    np.testing.assert_allclose(shares(PRISONERS_DILEMMA), [[0, 0], [0, 1]], atol=1e-5)


@pytest.mark.parametrize("sizes", [(2, 3), (4, 5), (2, 3, 2)])
def test_agrees_with_openspiel_where_that_is_stable(sizes: tuple[int, ...]) -> None:
    payoffs = random_game(*sizes, seed=1)
    for alpha in (0.01, 0.3):
        *_, theirs, _, _ = openspiel_alpharank.compute(list(payoffs), m=30, alpha=alpha)
        found = shares(payoffs, alpha=alpha, population=30)
        np.testing.assert_allclose(found.ravel(), theirs, atol=1e-9)
    *_, theirs, _, _ = openspiel_alpharank.compute(list(payoffs), use_inf_alpha=True, inf_alpha_eps=0.05)
    np.testing.assert_allclose(shares(payoffs, eps=0.05).ravel(), theirs, atol=1e-9)
    swept = openspiel_alpharank.sweep_pi_vs_epsilon(list(payoffs))
    np.testing.assert_allclose(shares(payoffs).ravel(), swept, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.5, math.inf])
def test_order_of_players_and_policies_and_constants_do_not_matter(alpha: float) -> None:
    payoffs = random_game(3, 4, 2, seed=2)
    found = shares(payoffs, alpha=alpha)
    swapped = np.stack([np.moveaxis(payoffs[player], 2, 0) for player in (2, 0, 1)])
    np.testing.assert_allclose(shares(swapped, alpha=alpha), np.moveaxis(found, 2, 0), atol=1e-9)
    np.testing.assert_allclose(shares(payoffs[:, :, ::-1], alpha=alpha), found[:, ::-1], atol=1e-9)
    moved = payoffs + np.array([5.0, -3.0, 0.5]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(shares(moved, alpha=alpha), found, atol=1e-9)


def test_only_the_order_of_payoffs_counts_if_alpha_is_infinite() -> None:
    payoffs = random_game(4, 4, seed=3)
    np.testing.assert_allclose(shares(np.exp(3.0 * payoffs)), shares(payoffs), atol=1e-9)
    # Policies that differ by rounding errors tie, as equal ones do.
    twice = payoffs[:, [0, 0, 1, 2, 3]]
    np.testing.assert_allclose(shares(twice + 1e-15 * random_game(5, 4, seed=4)), shares(twice), atol=1e-9)


def test_marginals() -> None:
    payoffs = random_game(3, 2, 4, seed=5)
    found = alpha_rank.solve_marginals(payoffs, alpha=0.4)
    cells = shares(payoffs, alpha=0.4)
    for player, marginal in enumerate(found.marginals):
        others = tuple(axis for axis in range(3) if axis != player)
        np.testing.assert_allclose(marginal, cells.sum(axis=others), atol=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 1e4, math.inf])
def test_twenty_policies_for_each_of_three_players(alpha: float) -> None:
    payoffs = random_game(20, 20, 20, seed=6)
    began = time.process_time()
    found = shares(payoffs, alpha=alpha)
    # A bar of one second, with room for a busy machine.
    assert time.process_time() - began < 3.0
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    # What flows into each profile flows out of it.
    switches = alpha_rank.switches_of(payoffs)
    rates = np.exp(np.maximum(alpha_rank.log_rates(switches.gains, alpha, 50, 1e-6), -300.0))
    flow = found.ravel()[switches.sources] * rates
    into, out = (np.bincount(each, flow, 8000) for each in (switches.targets, switches.sources))
    assert np.abs(into - out).sum() <= 1e-9 * flow.sum()


def test_two_cycles_that_only_mistakes_leave() -> None:
    """Two games of rock-paper-scissors beside each other, with more than 512 profiles: both are played."""
    size = 13
    payoffs = np.full((2, 2 * size, 2 * size), -5.0)
    cycle = np.sin(2.0 * np.pi * (np.arange(size)[:, None] - np.arange(size)) / size)
    for block in (slice(0, size), slice(size, 2 * size)):
        payoffs[0, block, block], payoffs[1, block, block] = cycle, -cycle
    found = shares(payoffs)
    np.testing.assert_allclose(found[:size, :size].sum(), 0.5, atol=1e-5)
    np.testing.assert_allclose(found[size:, size:].sum(), 0.5, atol=1e-5)


def test_too_many_profiles_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stationary, "_iterate", lambda chain: None)
    monkeypatch.setattr(stationary, "_MOST_AT_ALL", 600)
    with pytest.raises(RuntimeError, match="625 profiles did not converge; use fewer policies"):
        alpha_rank.solve(random_game(25, 25))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"population": 1}, "population is 1"),
        ({"eps": 0.0}, "eps is 0.0"),
        ({"eps": 0.5}, "eps is 0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        alpha_rank.solve(CHICKEN, **options)
    with pytest.raises(ValueError, match="NaN"):
        alpha_rank.solve(CHICKEN * np.nan)
