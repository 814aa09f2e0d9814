"""The solvers of SHOR-PSRO against the paper's formulas, written out a round at a time."""

from collections.abc import Callable

import numpy as np
import pytest

from acme_psro.meta_game.payoffs import meta_regret
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import shor


def by_formulas(
    payoffs: np.ndarray, rounds: int, blend: float, temperature: float, bonus: float, momentum: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the last and the average strategies of a two-player game."""
    tables = [payoffs[0], payoffs[1].T]
    sigma = [np.full(len(table), 1 / len(table)) for table in tables]
    total = [np.zeros(len(table)) for table in tables]
    regret, before = [0.0, 0.0], [0.0, 0.0]
    for _ in range(rounds):
        for p in (0, 1):
            u = tables[p] @ sigma[1 - p]
            gain = u - u.mean()
            g = (1 + momentum) * gain - momentum * before[p] + bonus * (1 - sigma[p])
            regret[p] = np.maximum(0.0, regret[p] + g / np.abs(g).max())
            softmax = np.exp((u - u.max()) / temperature)
            sigma[p] = (1 - blend) * regret[p] / regret[p].sum() + blend * softmax / softmax.sum()
            before[p] = gain
            total[p] = total[p] + sigma[p]
    return sigma, [each / rounds for each in total]


def test_training_solver_is_annealed_by_the_size_of_the_population() -> None:
    for size, blend, temperature, bonus in ((3, 0.29, 0.4804, 0.04804), (90, 0.05, 0.01, 0.001)):
        payoffs = np.random.default_rng(0).standard_normal((2, size, 2))
        # A population of three is at 3 of 75 iterations.
        _, expected = by_formulas(payoffs, 40, blend, temperature, bonus, momentum=0.5)
        for own, theirs in zip(shor.solve(payoffs, iterations=40).marginals, expected, strict=True):
            np.testing.assert_allclose(own, theirs, atol=1e-12)


def test_evaluation_solver_returns_last_strategies() -> None:
    payoffs = np.random.default_rng(1).standard_normal((2, 5, 4))
    expected, _ = by_formulas(payoffs, 40, 0.01, 0.001, 0.0, momentum=0.2)
    for own, theirs in zip(shor.solve_evaluation(payoffs, iterations=40).marginals, expected, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-12)


def test_number_of_rounds_grows_with_the_population() -> None:
    payoffs = np.random.default_rng(2).standard_normal((2, 3, 3))
    for solve, rounds in ((shor.solve, 1040), (shor.solve_evaluation, 8100)):
        for own, same in zip(
            solve(payoffs).marginals, solve(payoffs, iterations=rounds).marginals, strict=True
        ):
            np.testing.assert_array_equal(own, same)


def test_dominant_policies_of_three_players_are_found() -> None:
    """A public goods game: contributing costs its player 1, and gives each of the three 0.5."""
    contributions = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"))
    payoffs = 0.5 * contributions.sum(axis=0) - 1.0 * contributions
    for marginal in shor.solve_evaluation(payoffs).marginals:
        assert marginal[0] >= 1.0 - 1e-6
    # The softmax is in the units of the payoffs: at a temperature near 0.5 the training solver explores.
    assert 0.01 < 1.0 - shor.solve(payoffs).marginals[0][0] < 0.2


def test_last_strategies_need_not_converge() -> None:
    rows = np.array([[3.0, -1.0], [-1.0, 1.0]])
    payoffs = np.stack([rows, -rows])
    assert meta_regret(payoffs, shor.solve_evaluation(payoffs)).max() > 0.5
    assert meta_regret(payoffs, shor.solve(payoffs)).max() < 0.2


@pytest.mark.parametrize("solve", [shor.solve, shor.solve_evaluation])
def test_shifts_do_not_matter_and_bad_options_are_refused(solve: Callable[..., ProductStrategy]) -> None:
    payoffs = np.random.default_rng(3).integers(0, 8, (2, 3, 4)).astype(float)
    moved = payoffs + np.array([8.0, -16.0])[:, None, None]
    for own, same in zip(
        solve(payoffs, iterations=30).marginals, solve(moved, iterations=30).marginals, strict=True
    ):
        np.testing.assert_allclose(own, same, atol=1e-6)
    with pytest.raises(ValueError, match="iterations is 0"):
        solve(payoffs, iterations=0)
