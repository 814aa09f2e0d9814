"""Gains and values of policies from files: whom a response meets, what it gains, how well that is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from acme_psro.evaluation.sampled import draw_profiles, estimate_gain, mixture_values
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.sampled import SimulationConfig
from acme_psro.oracles.base import Response
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.tabular import Policy, mixture_plan, replace
from acme_psro.population_runs.metrics import fill_gains
from tests.acme_psro.simulated_kuhn import make_game
from tests.acme_psro.simulated_kuhn import populations as populations
from tests.acme_psro.simulated_kuhn import tables as tables
from tests.acme_psro.simulated_kuhn import tree as tree


def test_everybody_is_met_as_often_as_drawn_to_within_one() -> None:
    strategy = ProductStrategy((np.array([0.5, 0.5]), np.array([0.301, 0.0, 0.699]), np.array([0.25, 0.75])))
    profiles, counts = draw_profiles(strategy, 0, 1000, np.random.default_rng(0))
    assert counts.sum() == 1000 and (profiles[:, 0] == 0).all()
    assert len(np.unique(profiles, axis=0)) == len(profiles) == 4
    for player in (1, 2):
        met = np.bincount(profiles[:, player], counts, len(strategy.marginals[player]))
        assert (np.abs(met - 1000 * strategy.marginals[player]) <= 1).all()
    # The two others draw for themselves.
    both = counts[(profiles == [0, 0, 0]).all(axis=1)][0]
    assert abs(both - 1000 * 0.301 * 0.25) < 4 * np.sqrt(75)


def test_opponents_of_a_joint_distribution_are_met_together() -> None:
    joint = JointStrategy(np.array([[0, 0, 1], [1, 2, 0], [1, 2, 1]]), np.array([0.5, 0.2, 0.3]))
    profiles, counts = draw_profiles(joint, 0, 1000, np.random.default_rng(0))
    assert profiles.tolist() == [[0, 0, 1], [0, 2, 0], [0, 2, 1]]
    assert (np.abs(counts - [500, 200, 300]) <= 1).all()


def test_what_a_joint_distribution_earns_follows_from_the_payoffs() -> None:
    mean = np.array([[[1.0, 2.0], [3.0, np.nan]], [[0.0, 5.0], [7.0, np.nan]]])
    payoffs = SampledPayoffs(mean, np.full((2, 2), 9), np.full((2, 2, 2), 0.1))
    joint = JointStrategy(np.array([[0, 0], [1, 0]]), np.array([0.25, 0.75]))
    first, second = mixture_values(payoffs, joint)
    assert (first.value, second.value) == (2.5, 5.25)
    assert first.standard_error == pytest.approx(0.1 * np.hypot(0.25, 0.75))


def test_rare_policies_are_met_as_often_in_the_mean() -> None:
    strategy = ProductStrategy((np.ones(1), np.array([0.013, 0.987])))
    met = [draw_profiles(strategy, 0, 20, np.random.default_rng(seed))[1].tolist() for seed in range(2000)]
    rare = sum(counts[0] for counts in met if len(counts) == 2) / (2000 * 20)
    assert abs(rare - 0.013) < 4 * np.sqrt(0.013 / 40_000)


def test_what_a_mixture_earns_follows_from_the_payoffs() -> None:
    mean = np.array([[[1.0, 2.0, np.nan], [3.0, 4.0, np.nan]], [[0.0, 0.0, np.nan], [0.0, 8.0, np.nan]]])
    error = np.full((2, 2, 3), 0.1)
    payoffs = SampledPayoffs(mean, np.full((2, 3), 9), error)
    strategy = ProductStrategy((np.array([0.5, 0.5]), np.array([0.2, 0.8, 0.0])))
    first, second = mixture_values(payoffs, strategy)
    assert first.value == pytest.approx(0.1 * 1 + 0.4 * 2 + 0.1 * 3 + 0.4 * 4)
    assert second.value == pytest.approx(3.2)
    assert first.standard_error == pytest.approx(0.1 * np.sqrt(0.34))
    # Of populations as they were.
    before = mixture_values(payoffs, ProductStrategy((np.ones(1), np.array([0.5, 0.5]))))
    assert [each.value for each in before] == [1.5, 0.0]


def test_gains_are_exact_within_errors_that_are_not_too_small(
    tree: GameTree, tables: list[list[Policy]], populations: Any
) -> None:
    """Over runs of other seeds, payoffs included."""
    strategy = ProductStrategy((np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.0, 0.4])))
    plan = mixture_plan(tree, tables, strategy.marginals)
    answered = traverse.expected_returns(tree, replace(tree, plan, 1, tables[1][1]))
    exact = float(answered[1] - traverse.expected_returns(tree, plan)[1])
    scores = []
    small = SimulationConfig(payoff_episodes=20, extra_payoff_episodes=0, gain_episodes=60, payoff_workers=1)
    for seed in range(30):
        game = make_game(tree, small, seed)
        payoffs = game.extend(populations, None)
        response = populations[1][1].path
        gain = estimate_gain(game, response, 1, populations, strategy, payoffs, 1000 + seed)
        scores.append((gain.value - exact) / gain.standard_error)
    assert abs(np.mean(scores)) < 3.5 / np.sqrt(30)
    assert 0.5 < np.std(scores) < 1.35


def test_the_sum_of_gains_that_are_0_is_0_on_average(tree: GameTree, populations: Any) -> None:
    """Over runs of other seeds; every player responds with its only policy, so nobody gains.

    Gains below 0 raised to 0 would be above 0 in the mean. The error of the sum has no part for the mixture's
    own returns, which cancel: with them, it would be too large.
    """
    alone = tuple((own[0],) for own in populations)
    strategy = ProductStrategy((np.ones(1), np.ones(1)))
    small = SimulationConfig(payoff_episodes=30, extra_payoff_episodes=0, gain_episodes=60, payoff_workers=1)
    sums, raised, errors, doubled = [], [], [], []
    for seed in range(60):
        game = make_game(tree, small, seed)
        payoffs = game.extend(alone, None)
        gains = [
            estimate_gain(
                game, alone[player][0].path, player, alone, strategy, payoffs, 5000 + 2 * seed + player
            )
            for player in (0, 1)
        ]
        responses = [
            Response(
                None,
                gain.value,
                math.nan,
                standard_error=gain.standard_error,
                own_error=gain.own_error,
            )
            for gain in gains
        ]
        row = fill_gains({}, responses, constant_sum=True)
        sums.append(row["nash_conv"])
        raised.append(sum(max(gain.value, 0.0) for gain in gains))
        errors.append(row["nash_conv_stderr"])
        doubled.append(math.hypot(*(gain.standard_error for gain in gains)))
    spread = np.std(sums) / math.sqrt(len(sums))
    assert abs(np.mean(sums)) < 3.5 * spread
    assert np.mean(raised) > 5 * spread
    assert 0.75 < np.std(sums) / np.mean(errors) < 1.3
    assert np.mean(doubled) > 1.3 * np.mean(errors)
