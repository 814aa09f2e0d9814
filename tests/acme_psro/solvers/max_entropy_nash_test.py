"""The Nash equilibrium of maximum entropy: exact values, continuity, and games of many sizes and scales."""

import numpy as np
import pytest

from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import max_entropy_nash, nash
from acme_psro.solvers.certificates import share_of_gap

# Four policies with a segment of equilibria, from (1/2, 0, 1/2, 0) to (1/3, 1/3, 0, 1/3).
SEGMENT = np.array([[0.0, 1, 0, -1], [-1, 0, 1, 1], [0, -1, 0, 1], [1, -1, -1, 0]])
SEGMENT_ANSWER = [0.392203, 0.215594, 0.176609, 0.215594]


def _solve(row_payoffs: np.ndarray, slack: float = 5e-6) -> ProductStrategy:
    return max_entropy_nash.solve(_zero_sum(row_payoffs), slack=slack)


def _zero_sum(row_payoffs: np.ndarray) -> np.ndarray:
    return np.stack([row_payoffs, -row_payoffs])


@pytest.mark.parametrize(
    ("row_payoffs", "rows", "columns"),
    [
        (SEGMENT, SEGMENT_ANSWER, SEGMENT_ANSWER),
        (np.zeros((3, 2)), [1 / 3] * 3, [1 / 2] * 2),
        # Rock, paper, scissors with two rocks.
        ([[0, -1, 1, 0], [1, 0, -1, 1], [-1, 1, 0, -1], [0, -1, 1, 0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], None),
        # The row is unique; columns 0 and 3 may share in any way from 0.4 to 1.
        (
            [
                [-4.74849287, -1.41955836, -1.41955836, -2.46551608],
                [-100, -0.80877032, -0.80877032, -1.42923881],
                [-3.99960399, -1.41955836, -1.41955836, -1.42923881],
                [-2.46551608, -0.80877032, -0.80877032, -2.46551608],
            ],
            [0, 0, 0, 1],
            [1 / 2, 0, 0, 1 / 2],
        ),
        # Unique equilibria, whatever their entropy.
        ([[-100, 0, 0, -100], [0, 0, 0, -100], [-100, 0, 0, 0], [0, 0, 0, -50]], [0, 0, 1 / 3, 2 / 3], None),
        ([[0, -1, 1, 1], [1, 0, -1, -1], [-1, 1, 0, -1], [-1, 1, 1, 0]], [1 / 3, 1 / 3, 0, 1 / 3], None),
    ],
)
def test_known_answers(row_payoffs: list, rows: list[float], columns: list[float] | None) -> None:
    answer = _solve(np.array(row_payoffs, np.float64))
    np.testing.assert_allclose(answer.marginals[0], rows, atol=4e-5)
    if columns is not None:
        np.testing.assert_allclose(answer.marginals[1], columns, atol=4e-5)


def test_the_answer_without_slack_is_approached_as_the_slack_falls() -> None:
    errors = [
        np.abs(_solve(SEGMENT, slack).marginals[0] - SEGMENT_ANSWER).max() for slack in (1e-2, 1e-3, 1e-4)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0


def test_small_changes_of_payoffs_change_little() -> None:
    """A vertex jumps between the ends of the segment."""
    before, moves, jumps = _solve(SEGMENT).marginals, [], []
    vertex = nash.solve(_zero_sum(SEGMENT)).marginals
    for cell in np.ndindex(4, 4):
        for change in (1e-6, -1e-6):
            moved = SEGMENT.copy()
            moved[cell] += change
            moves += [np.abs(a - b).max() for a, b in zip(_solve(moved).marginals, before, strict=True)]
            found = nash.solve(_zero_sum(moved)).marginals
            jumps += [np.abs(a - b).max() for a, b in zip(found, vertex, strict=True)]
    assert max(moves) < 1e-5
    assert max(jumps) > 0.3


@pytest.mark.parametrize("seed", range(10))
def test_equal_policies_get_equal_weights(seed: int) -> None:
    """And together what the policy has alone in games of a unique equilibrium."""
    rng = np.random.default_rng(seed)
    payoffs = rng.standard_normal((6, 7))
    copies = rng.integers(0, 6, 15)
    alone, copied = _solve(payoffs), _solve(payoffs[np.concatenate([np.arange(6), copies])])
    origin = np.concatenate([np.arange(6), copies])
    for policy in range(6):
        weights = copied.marginals[0][origin == policy]
        np.testing.assert_allclose(weights, weights[0], atol=1e-8)
        assert weights.sum() == pytest.approx(alone.marginals[0][policy], abs=3e-3)


@pytest.mark.parametrize("slack", [5e-6, 1e-3])
@pytest.mark.parametrize("seed", range(12))
def test_regret_is_at_most_twice_the_slack(seed: int, slack: float) -> None:
    """Each player may lose the slack, and its opponent too."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 40, 2)
    payoffs = [
        rng.standard_normal((rows, columns)),
        rng.choice([-1.0, 0.0, 1.0], (rows, columns)),
        np.sign(np.arange(rows)[:, None] - np.arange(columns)) + 1e-6 * rng.standard_normal((rows, columns)),
    ][seed % 3]
    payoffs *= 10.0 ** rng.integers(-6, 7)
    if seed % 3 == 0:
        payoffs[0, 0] = 1e6 * np.abs(payoffs).max()
    assert share_of_gap(_zero_sum(payoffs), _solve(payoffs, slack)) <= 2.001 * slack


def test_a_population_of_150() -> None:
    payoffs = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (150, 150))
    assert share_of_gap(_zero_sum(payoffs), _solve(payoffs)) <= 2e-5


@pytest.mark.parametrize("slack", [0.0, -1e-6, 0.2, float("nan")])
def test_a_slack_out_of_range_is_refused(slack: float) -> None:
    with pytest.raises(ValueError, match=r"slack is .*; give a number above 0 and at most 0\.1"):
        _solve(SEGMENT, slack)
