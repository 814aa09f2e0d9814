"""Regret matching: every player plays in proportion to its positive regrets; the average counts."""

import numpy as np

from acme_psro.meta_game.payoffs import check_payoffs, unit_payoffs
from acme_psro.policies.meta_strategy import ProductStrategy


def solve(payoffs: np.ndarray, *, iterations: int = 1000, predictive: bool = True) -> ProductStrategy:
    """Returns each player's average strategy over rounds of simultaneous regret matching.

    `predictive=False` is regret matching in expected payoffs (Hart & Mas-Colell 2000) with the
    plain average, the algorithm of OpenSpiel's `regret_matching`. `predictive=True` is predictive
    regret matching+ (Farina, Kroer & Sandholm 2021): cumulative regrets never fall below zero,
    the last round's regrets are counted twice as a forecast, and round t weighs t^2. A round
    costs the same, and on 54 zero-sum meta-games of 3 to 150 policies 1000 such rounds left less
    regret than 10000 plain ones in all but one, typically by a factor of some hundreds.

    Args:
      payoffs: `[P, n_1, .., n_P]`, any game. In two-player zero-sum games the averages near a Nash
        equilibrium. Elsewhere only the players' joint play nears a coarse correlated equilibrium,
        and these marginals are its marginals.
      iterations: rounds, >= 1; time is proportional.
      predictive: which of the two algorithms.

    Raises:
      ValueError: the payoffs are malformed (`check_payoffs`) or `iterations` is below 1.
    """
    payoffs = check_payoffs(payoffs)
    if iterations < 1:
        raise ValueError(f"regret_matching: iterations is {iterations}; give 1 or more")
    tables = _tables(unit_payoffs(payoffs))
    regrets = [np.zeros(size) for size in payoffs.shape[1:]]
    forecasts = [np.zeros(size) for size in payoffs.shape[1:]]
    totals = [np.zeros(size) for size in payoffs.shape[1:]]
    for iteration in range(1, iterations + 1):
        strategies = [_match(*pair) for pair in zip(regrets, forecasts, strict=True)]
        weight = float(iteration) ** 2 if predictive else 1.0
        for player, strategy in enumerate(strategies):
            totals[player] += weight * strategy
            earned = _deviation_payoffs(tables[player], strategies, player)
            instant = earned - earned @ strategy
            regrets[player] += instant
            if predictive:
                np.maximum(regrets[player], 0.0, out=regrets[player])
                forecasts[player] = instant
    return ProductStrategy(tuple(total / total.sum() for total in totals))


def _tables(payoffs: np.ndarray) -> list[np.ndarray]:
    """For every player, its payoffs with its own axis first, contiguous for fast products."""
    return [np.ascontiguousarray(np.moveaxis(table, player, 0)) for player, table in enumerate(payoffs)]


def _match(regrets: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    positive = np.maximum(regrets + forecast, 0.0)
    total = positive.sum()
    if total > 0.0:
        return positive / total
    return np.full(len(positive), 1.0 / len(positive))


def _deviation_payoffs(table: np.ndarray, strategies: list[np.ndarray], player: int) -> np.ndarray:
    # The same as payoffs.deviation_payoffs, three to five times as fast in this inner loop.
    for other in reversed(range(len(strategies))):
        if other != player:
            table = table.reshape(-1, len(strategies[other])) @ strategies[other]
    return table.reshape(-1)
