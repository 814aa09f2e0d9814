"""The exact oracle answers every task with a best response, or with none where nothing is to be gained."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Counts, Response
from acme_psro.oracles.exact import make_oracle
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import make_policy, mixture_plan, replace, uniform_policy

Tables = Callable[[GameTree, int], np.ndarray]
KEY = np.zeros(2, np.uint32)


def tasks_of(tree: GameTree, random_table: Tables, size: int = 3) -> list[BestResponseTask]:
    rng = np.random.default_rng(0)
    populations = tuple(
        tuple(
            make_policy(tree, player, random_table(tree, 10 * player + k)[tree.infosets_of(player)])
            for k in range(size)
        )
        for player in range(tree.num_players)
    )
    strategy = ProductStrategy(tuple(rng.dirichlet(np.ones(size)) for _ in populations))
    return [BestResponseTask(player, populations, strategy) for player in range(tree.num_players)]


def gain_of(tree: GameTree, task: BestResponseTask, response: Response) -> float:
    """Returns the response's gain over the mixture, measured by playing it."""
    assert response.policy is not None
    plan = mixture_plan(tree, task.populations, task.meta_strategy.marginals)
    after = replace(tree, plan, task.player, response.policy)
    returns = (traverse.expected_returns(tree, each)[task.player] for each in (after, plan))
    return next(returns) - next(returns)


def test_gains_what_it_says_and_no_more_can_be_gained(case: Any, random_table: Tables) -> None:
    tree = case.tree
    tasks = tasks_of(tree, random_table)
    responses = make_oracle(tree)(KEY, tasks)
    assert len(responses) == len(tasks) == tree.num_players
    for task, response in zip(tasks, responses, strict=True):
        plan = mixture_plan(tree, task.populations, task.meta_strategy.marginals)
        assert response.gain == response.best_gain
        assert response.gain == pytest.approx(traverse.gains(tree, plan)[task.player], abs=1e-12)
        assert response.gain == pytest.approx(gain_of(tree, task, response), abs=1e-12)


def test_costs_no_episodes(case: Any, random_table: Tables) -> None:
    for response in make_oracle(case.tree)(KEY, tasks_of(case.tree, random_table)):
        assert response.counts == Counts(0, 0, 0)


def test_responses_are_pure(case: Any, random_table: Tables) -> None:
    for player, response in enumerate(make_oracle(case.tree)(KEY, tasks_of(case.tree, random_table))):
        assert response.policy is not None
        assert response.policy.table.shape == case.tree.legal_actions[case.tree.infosets_of(player)].shape
        np.testing.assert_array_equal(response.policy.table.max(axis=1), 1.0)


@pytest.mark.games("kuhn", "kuhn_3p", "leduc")
def test_order_and_number_of_tasks_do_not_matter(case: Any, random_table: Tables) -> None:
    tasks = tasks_of(case.tree, random_table)
    oracle = make_oracle(case.tree)
    together = oracle(KEY, tasks)
    for task, response in zip(tasks, together, strict=True):
        (alone,) = oracle(KEY, [task])
        np.testing.assert_array_equal(alone.policy.table, response.policy.table)
    for response, turned in zip(together, reversed(oracle(KEY, tasks[::-1])), strict=True):
        np.testing.assert_array_equal(response.policy.table, turned.policy.table)
    assert list(oracle(KEY, [])) == []


@pytest.mark.games("kuhn", "leduc")
def test_key_does_not_matter(case: Any, random_table: Tables) -> None:
    tasks = tasks_of(case.tree, random_table)
    oracle = make_oracle(case.tree)
    for one, two in zip(oracle(KEY, tasks), oracle(KEY + 1, tasks), strict=True):
        np.testing.assert_array_equal(one.policy.table, two.policy.table)


@pytest.mark.games("rock_paper_scissors", "coordinated_pennies")
def test_nothing_comes_back_in_equilibrium(case: Any) -> None:
    """Uniform play is the equilibrium of these games."""
    tree = case.tree
    populations = tuple((uniform_policy(tree, player),) for player in range(2))
    strategy = ProductStrategy((np.ones(1), np.ones(1)))
    for response in make_oracle(tree)(KEY, [BestResponseTask(p, populations, strategy) for p in range(2)]):
        assert response.policy is None
        assert 0.0 <= response.gain == response.best_gain <= 1e-9


@pytest.mark.games("kuhn", "catch", "repeated_dilemma")
def test_a_best_response_is_not_improved_upon(case: Any, random_table: Tables) -> None:
    tree = case.tree
    oracle = make_oracle(tree)
    for task in tasks_of(tree, random_table):
        (first,) = oracle(KEY, [task])
        populations = tuple(
            (first.policy,) if player == task.player else population
            for player, population in enumerate(task.populations)
        )
        marginals = tuple(
            np.ones(1) if player == task.player else marginal
            for player, marginal in enumerate(task.meta_strategy.marginals)
        )
        (second,) = oracle(KEY, [BestResponseTask(task.player, populations, ProductStrategy(marginals))])
        assert second.policy is None
        assert second.best_gain == pytest.approx(0.0, abs=1e-9)


@pytest.mark.games("kuhn")
def test_tolerance_decides_what_is_worth_a_policy(case: Any, random_table: Tables) -> None:
    task = tasks_of(case.tree, random_table)[0]
    (kept,) = make_oracle(case.tree)(KEY, [task])
    (dropped,) = make_oracle(case.tree, tolerance=kept.gain + 1e-6)(KEY, [task])
    (again,) = make_oracle(case.tree, tolerance=kept.gain - 1e-6)(KEY, [task])
    assert dropped.policy is None
    assert dropped.gain == kept.gain
    assert again.policy is not None


@pytest.mark.games("kuhn", "leduc")
def test_answers_the_average_where_the_meta_strategy_never_leads(case: Any, pure_table: Tables) -> None:
    """Among the best responses to the newest policies, one that is best against all of them."""
    tree = case.tree
    populations = tuple(
        tuple(make_policy(tree, p, pure_table(tree, k)[tree.infosets_of(p)]) for k in range(4))
        for p in range(2)
    )
    strategy = ProductStrategy((np.eye(4)[-1],) * 2)
    plan = mixture_plan(tree, populations, strategy.marginals)
    average = mixture_plan(tree, populations, [np.full(4, 0.25)] * 2)
    better = []
    for player in range(2):
        (response,) = make_oracle(tree)(KEY, [BestResponseTask(player, populations, strategy)])
        plain = traverse.best_response(tree, plan, player).table[tree.infosets_of(player)]
        mine, other = (
            traverse.expected_returns(tree, replace(tree, average, player, each))[player]
            for each in (response.policy, make_policy(tree, player, plain))
        )
        assert mine >= other - 1e-12
        better.append(mine - other)
    assert max(better) > 1e-3
