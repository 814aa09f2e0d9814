"""Exact payoffs: the same however they are filled, and the same as OpenSpiel's."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import expected_game_score

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import exact
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.payoffs import empty_payoffs
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.tabular import Population, combine, make_policy, uniform_policy

Tables = Callable[[GameTree, int], np.ndarray]
GAMES = ("kuhn", "kuhn_3p", "prisoners_dilemma", "repeated_dilemma", "auction", "pennies_3p", "catch")


def seeds_of(players: int) -> list[list[int]]:
    """Populations of 1, 2, 3 .. policies: no two axes alike."""
    return [[100 * player + k for k in range(player + 1)] for player in range(players)]


def draw(tree: GameTree, seeds: Sequence[Sequence[int]], random_table: Tables) -> tuple[Population, ...]:
    return tuple(
        tuple(make_policy(tree, p, random_table(tree, seed)[tree.infosets_of(p)]) for seed in own)
        for p, own in enumerate(seeds)
    )


def fill(tree: GameTree, populations: Sequence[Population]) -> np.ndarray:
    return exact_payoffs(tree, populations, empty_payoffs(tree.num_players))


@pytest.mark.games("kuhn", "kuhn_3p", "prisoners_dilemma", "auction")
def test_every_cell_equals_openspiel(case: Any, random_table: Tables) -> None:
    tree = case.tree
    seeds = seeds_of(tree.num_players)
    payoffs = fill(tree, draw(tree, seeds, random_table))
    assert payoffs.shape == (tree.num_players, *(len(own) for own in seeds))
    for cell in itertools.product(*(range(len(own)) for own in seeds)):
        policies = [
            table_policy(tree, random_table(tree, own[k])) for own, k in zip(seeds, cell, strict=True)
        ]
        expected = expected_game_score.policy_value(case.game.new_initial_state(), policies)
        np.testing.assert_allclose(payoffs[(slice(None), *cell)], expected, atol=1e-12)


@pytest.mark.games(*GAMES)
@pytest.mark.parametrize("seed", range(3))
def test_filling_step_by_step_equals_filling_at_once(case: Any, seed: int, random_table: Tables) -> None:
    tree = case.tree
    rng = np.random.default_rng(seed)
    seeds = [[0] for _ in range(tree.num_players)]
    payoffs = fill(tree, draw(tree, seeds, random_table))
    for step in range(1, 5):
        for player, own in enumerate(seeds):
            own.extend(100 * step + 10 * player + k for k in range(rng.integers(0, 3)))
        populations = draw(tree, seeds, random_table)
        before = payoffs.copy()
        payoffs = exact_payoffs(tree, populations, payoffs)
        known = (slice(None), *(slice(size) for size in before.shape[1:]))
        np.testing.assert_array_equal(payoffs[known], before)
    np.testing.assert_allclose(payoffs, fill(tree, populations), atol=1e-12)


@pytest.mark.games(*GAMES)
def test_known_cells_are_not_computed_again(case: Any, random_table: Tables) -> None:
    tree = case.tree
    populations = draw(tree, seeds_of(tree.num_players), random_table)
    marked = np.full_like(fill(tree, populations), 12345.0)
    np.testing.assert_array_equal(exact_payoffs(tree, populations, marked), marked)


@pytest.mark.games("kuhn", "kuhn_3p", "leduc")
def test_zero_sum_games_have_payoffs_that_cancel(case: Any, random_table: Tables) -> None:
    payoffs = fill(case.tree, draw(case.tree, seeds_of(case.tree.num_players), random_table))
    np.testing.assert_allclose(payoffs.sum(axis=0), 0.0, atol=1e-12)
    assert np.abs(payoffs).max() > 1e-3


@pytest.mark.games("kuhn", "kuhn_3p", "auction")
def test_pure_and_mixed_policies_earn_what_their_plans_do(
    case: Any, random_table: Tables, pure_table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pure policies reach few ends, of which alone sums are made; one policy at a time in products."""
    monkeypatch.setattr(exact, "_MOST_NUMBERS", 1)
    tree, tables = case.tree, [random_table(case.tree, 0), pure_table(case.tree, 1), pure_table(case.tree, 2)]
    populations = draw(tree, [[0, 1, 2]] * tree.num_players, lambda _, index: tables[index])
    payoffs = fill(tree, populations)
    for cell in np.ndindex(*payoffs.shape[1:]):
        plan = combine(tree, [own[k].plan for own, k in zip(populations, cell, strict=True)])
        expected = traverse.expected_returns(tree, plan)
        np.testing.assert_allclose(payoffs[(slice(None), *cell)], expected, atol=1e-12)


@pytest.mark.games("leduc")
def test_many_policies_against_one(case: Any, random_table: Tables) -> None:
    tree = case.tree
    wide = draw(tree, [[1], list(range(7))], random_table)
    tall = draw(tree, [list(range(7)), [1]], random_table)
    assert fill(tree, wide).shape == (2, 1, 7)
    assert fill(tree, tall).shape == (2, 7, 1)
    np.testing.assert_allclose(fill(tree, wide)[:, 0, 1], fill(tree, tall)[:, 1, 0], atol=1e-12)


@pytest.mark.games("prisoners_dilemma")
def test_pure_policies_of_a_matrix_game_give_the_matrix_back(case: Any) -> None:
    tree = case.tree
    pure = [tuple(make_policy(tree, p, np.eye(2)[k : k + 1]) for k in range(2)) for p in range(2)]
    np.testing.assert_array_equal(fill(tree, pure)[0], [[5, 0], [10, 1]])
    np.testing.assert_array_equal(fill(tree, pure)[1], [[5, 10], [0, 1]])


@pytest.mark.games("kuhn")
def test_refuses_populations_that_shrank(case: Any) -> None:
    single = [(uniform_policy(case.tree, p),) for p in range(2)]
    with pytest.raises(ValueError, match="cannot become"):
        exact_payoffs(case.tree, single, np.zeros((2, 2, 1)))
