"""The linear program finds equilibria of restricted games."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games import linear_program
from acme_psro.restricted_games.certificate import restricted_nash_conv
from acme_psro.solvers import highs
from tests.acme_psro.restricted_games.certificate_test import pure_tables

Tables = Callable[[GameTree, int], np.ndarray]
Compiled = Callable[[str], GameTree]

ZERO_SUM = (
    "kuhn", "leduc", "isomorphic_leduc", "liars_dice", "goofspiel", "rock_paper_scissors",
    "coordinated_pennies",
)  # fmt: skip
# In OpenSpiel's Kuhn poker.
PASS, BET = 0, 1


def value_of(tree: GameTree, table: np.ndarray) -> float:
    return float(traverse.expected_returns(tree, traverse.realisation_plan(tree, table))[0])


def random_allowed(tree: GameTree, seed: int, share: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    allowed = tree.legal_actions & (rng.random(tree.legal_actions.shape) < share)
    one = np.eye(tree.num_actions, dtype=bool)[
        np.where(tree.legal_actions, rng.random(allowed.shape), -1).argmax(1)
    ]
    return allowed | one


def normal_form_value(tree: GameTree, allowed: np.ndarray) -> float:
    """Computes the value to player 0 from all pure policies, by a linear program over their mixtures."""
    uniform = tree.uniform_policy()
    ends = tree.terminal_sequences
    plans = [
        np.unique(
            [
                traverse.realisation_plan(tree, table)[ends[player]]
                for table in pure_tables(tree, uniform, allowed, player)
            ],
            axis=0,
        )
        for player in range(2)
    ]
    payoffs = (plans[0] * tree.terminal_returns[0]) @ plans[1].T
    size = len(plans[0])
    result = scipy.optimize.linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=np.column_stack([-payoffs.T, np.ones(len(plans[1]))]),
        b_ub=np.zeros(len(plans[1])),
        A_eq=np.append(np.ones(size), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * size + [(None, None)],
    )
    assert result.status == 0
    return float(result.x[-1])


def kuhn_without(tree: GameTree, removed: dict[str, int]) -> np.ndarray:
    allowed = tree.legal_actions.copy()
    for key, action in removed.items():
        allowed[tree.keys.index(key), action] = False
    return allowed


@pytest.mark.parametrize(
    ("game", "value", "accuracy"),
    [
        ("kuhn_poker", -1 / 18, 1e-12),
        ("leduc_poker", -0.085606424078, 1e-11),
        ("matrix_rps", 0.0, 1e-12),
        ("goofspiel(imp_info=True,num_cards=4,points_order=descending)", 0.0, 1e-12),
    ],
)
def test_whole_games_have_their_known_values(
    game: str, value: float, accuracy: float, compiled: Compiled
) -> None:
    tree = compiled(game)
    solution = linear_program.solve(tree, tree.legal_actions)
    assert value_of(tree, solution.table) == pytest.approx(value, abs=accuracy)
    assert traverse.nash_conv(tree, solution.table) == pytest.approx(0.0, abs=1e-11)


@pytest.mark.parametrize(
    ("removed", "value"),
    [
        # Player 0 loses nothing if it never opens with a bet (Kuhn 1950).
        ({"0": BET, "1": BET, "2": BET}, -1 / 18),
        # If player 1 must call every bet, player 0 bets the king and wins 2. A bet of the queen is worth 0
        # and its pass -1/3, because player 1 then bets the king, and the jack with probability 1/3. The
        # jack loses its ante.
        ({"0b": PASS, "1b": PASS, "2b": PASS}, 1 / 3),
        # If nobody may bet, the higher card wins the antes.
        ({"0": BET, "1": BET, "2": BET, "0p": BET, "1p": BET, "2p": BET}, 0.0),
        # If player 0 must bet and player 1 must fold, player 0 wins the ante.
        ({"0": PASS, "1": PASS, "2": PASS, "0b": BET, "1b": BET, "2b": BET}, 1.0),
    ],
)
def test_kuhn_poker_without_some_actions(removed: dict[str, int], value: float, compiled: Compiled) -> None:
    tree = compiled("kuhn_poker")
    allowed = kuhn_without(tree, removed)
    solution = linear_program.solve(tree, allowed)
    assert value_of(tree, solution.table) == pytest.approx(value, abs=1e-12)
    assert normal_form_value(tree, allowed) == pytest.approx(value, abs=1e-9)
    assert solution.gap == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_random_restrictions_of_kuhn_poker_by_brute_force(seed: int, compiled: Compiled) -> None:
    tree = compiled("kuhn_poker")
    allowed = random_allowed(tree, seed)
    solution = linear_program.solve(tree, allowed)
    assert value_of(tree, solution.table) == pytest.approx(normal_form_value(tree, allowed), abs=1e-9)


@pytest.mark.games(*ZERO_SUM)
@pytest.mark.parametrize("seed", range(3))
def test_certificate_of_random_restrictions_is_zero(case: Any, seed: int) -> None:
    tree = case.tree
    allowed = random_allowed(tree, seed, share=0.3 * (seed + 1))
    solution = linear_program.solve(tree, allowed)
    assert abs(solution.gap) <= 1e-9
    assert solution.gap == restricted_nash_conv(tree, allowed, solution.table)
    assert solution.method == "linear program, interior point"
    assert solution.seconds > 0


@pytest.mark.games(*ZERO_SUM)
def test_policies_are_distributions_over_allowed_actions(case: Any) -> None:
    tree = case.tree
    allowed = random_allowed(tree, 5)
    table = linear_program.solve(tree, allowed).table
    assert table.shape == allowed.shape
    assert not table[~allowed].any()
    assert (table >= 0).all()
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-12)


def test_unreached_information_states_are_uniform_over_allowed_actions(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    allowed = random_allowed(tree, 1, share=0.4)
    table = linear_program.solve(tree, allowed).table
    plan = traverse.realisation_plan(tree, allowed / allowed.sum(axis=1, keepdims=True))
    unreached = plan[tree.parent_sequence] == 0
    assert unreached.any()
    np.testing.assert_allclose(
        table[unreached], (allowed / allowed.sum(axis=1, keepdims=True))[unreached], atol=1e-15
    )


def test_solutions_repeat(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    one, other = (linear_program.solve(tree, random_allowed(tree, 2)) for _ in range(2))
    np.testing.assert_array_equal(one.table, other.table)


def test_payoffs_in_other_units_change_nothing(compiled: Compiled) -> None:
    """The same game with chips worth a million: HiGHS's tolerances are relative to the payoffs."""
    tree = compiled("leduc_poker")
    # A power of two scales without rounding.
    rich = type(tree)(**{**fields(tree), "reward": tree.reward * 2.0**20})
    one, other = (linear_program.solve(each, each.legal_actions, 1e-3) for each in (tree, rich))
    np.testing.assert_array_equal(one.table, other.table)
    assert abs(other.gap) < 1e-7


def fields(tree: GameTree) -> dict[str, Any]:
    return {name: getattr(tree, name) for name in tree.__dataclass_fields__}


def worse_first(monkeypatch: pytest.MonkeyPatch, noise: dict[str, float]) -> list[str]:
    """Makes methods of HiGHS inexact, or fail if their noise is infinite; returns those that run."""
    true, ran = highs.linprog, []

    def linprog(*args: Any, **kwargs: Any) -> Any:
        ran.append(kwargs["method"])
        result = true(*args, **kwargs)
        amount = noise.get(kwargs["method"], 0.0)
        if not np.isfinite(amount):
            result.status, result.message = 4, "numerical difficulties"
        result.x = result.x + amount
        return result

    monkeypatch.setattr(highs, "linprog", linprog)
    return ran


def test_second_method_runs_if_the_first_is_not_exact_enough(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = compiled("leduc_poker")
    ran = worse_first(monkeypatch, {"highs-ipm": 0.01})
    solution = linear_program.solve(tree, tree.legal_actions)
    assert ran == ["highs-ipm", "highs-ipm", "highs-ds"]
    assert solution.method == "linear program, dual simplex"
    assert solution.gap < 1e-9


def test_inexact_solution_is_accepted_within_the_tolerance(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = compiled("leduc_poker")
    ran = worse_first(monkeypatch, {"highs-ipm": 0.01})
    solution = linear_program.solve(tree, tree.legal_actions, tolerance=10.0)
    assert ran == ["highs-ipm"]
    assert 1e-3 < solution.gap <= 10


def test_best_of_inexact_solutions_is_returned(compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = compiled("leduc_poker")
    worse_first(monkeypatch, {"highs-ipm": 0.01, "highs-ds": 0.001})
    solution = linear_program.solve(tree, tree.legal_actions)
    assert solution.method == "linear program, dual simplex"
    assert 1e-9 < solution.gap == restricted_nash_conv(tree, tree.legal_actions, solution.table)


def test_simplex_runs_if_the_interior_point_fails(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = compiled("kuhn_poker")
    worse_first(monkeypatch, {"highs-ipm": np.inf})
    solution = linear_program.solve(tree, tree.legal_actions)
    assert solution.method == "linear program, dual simplex"
    assert value_of(tree, solution.table) == pytest.approx(-1 / 18, abs=1e-12)


def test_failure_of_all_methods_is_reported(compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = compiled("kuhn_poker")
    worse_first(monkeypatch, {"highs-ipm": np.inf, "highs-ds": np.inf})
    with pytest.raises(RuntimeError, match=r"^HiGHS did not solve the linear program in 300 s: numerical"):
        linear_program.solve(tree, tree.legal_actions)


@pytest.mark.parametrize(
    "game",
    ["kuhn_poker(players=3)", "matrix_pd", "first_sealed_auction(max_value=4)", "catch(rows=4,columns=3)"],
)
def test_other_games_are_refused(game: str, compiled: Compiled) -> None:
    tree = compiled(game)
    with pytest.raises(ValueError, match=r"^the linear program is for two-player zero-sum games; "):
        linear_program.solve(tree, tree.legal_actions)


def test_illegal_actions_are_refused(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    with pytest.raises(ValueError, match=re.escape("an action that is not legal is among the allowed ones")):
        linear_program.solve(tree, np.ones_like(tree.legal_actions))
