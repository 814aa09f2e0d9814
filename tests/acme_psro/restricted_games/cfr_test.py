"""Regret minimisation finds the values of restricted games, and says how far its policies are from them."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games import cfr
from acme_psro.restricted_games.certificate import restricted_nash_conv
from experiments.benchmarks.shared.random_choices import random_choices

Tables = Callable[[GameTree, int], np.ndarray]
Compiled = Callable[[str], GameTree]

TWO_PLAYER_ZERO_SUM = (
    "kuhn", "leduc", "isomorphic_leduc", "liars_dice", "goofspiel", "rock_paper_scissors",
    "coordinated_pennies",
)  # fmt: skip


def value_of(tree: GameTree, table: np.ndarray) -> float:
    return float(traverse.expected_returns(tree, traverse.realisation_plan(tree, table))[0])


def pure_plans(tree: GameTree, allowed: np.ndarray, player: int) -> Iterator[np.ndarray]:
    rows = range(*tree.infosets_of(player).indices(tree.num_infosets))
    for actions in itertools.product(*(np.flatnonzero(allowed[row]) for row in rows)):
        table = np.zeros(allowed.shape)
        table[list(rows), list(actions)] = 1.0
        yield traverse.realisation_plan(tree, table)


def value_by_pure_policies(tree: GameTree, allowed: np.ndarray) -> float:
    """Computes the value of a restricted game from its normal form, by a linear program."""
    rows, columns = (np.unique(list(pure_plans(tree, allowed, player)), axis=0) for player in range(2))
    ends = tree.terminal_sequences
    payoffs = (rows[:, ends[0]] * tree.terminal_returns[0]) @ columns[:, ends[1]].T
    # The variables are player 0's mixture and the value, which is at most what each column leaves.
    answer = scipy.optimize.linprog(
        np.append(np.zeros(len(rows)), -1.0),
        A_ub=np.hstack([-payoffs.T, np.ones((len(columns), 1))]),
        b_ub=np.zeros(len(columns)),
        A_eq=np.append(np.ones(len(rows)), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * len(rows) + [(None, None)],
    )
    return float(answer.x[-1])


@pytest.mark.parametrize(
    ("game", "value"),
    [
        ("kuhn_poker", -1 / 18),
        ("leduc_poker", -0.085606424078),
        ("goofspiel(num_cards=3,imp_info=True)", 0.0),
        ("matrix_rps", 0.0),
    ],
)
def test_whole_games_have_their_known_values(game: str, value: float, compiled: Compiled) -> None:
    tree = compiled(game)
    solution = cfr.solve(tree, tree.legal_actions, 1e-3)
    assert solution.gap <= 1e-3
    assert solution.gap == pytest.approx(traverse.nash_conv(tree, solution.table), abs=1e-12)
    assert abs(value_of(tree, solution.table) - value) <= solution.gap
    assert solution.has_guarantee


@pytest.mark.parametrize("policies", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_restricted_kuhn_poker_has_the_value_of_its_normal_form(
    policies: int, seed: int, compiled: Compiled
) -> None:
    tree = compiled("kuhn_poker")
    allowed = random_choices(tree, policies, seed)
    solution = cfr.solve(tree, allowed, 1e-4)
    assert solution.gap <= 1e-4
    assert abs(value_of(tree, solution.table) - value_by_pure_policies(tree, allowed)) <= solution.gap + 1e-9


@pytest.mark.games(*TWO_PLAYER_ZERO_SUM)
@pytest.mark.parametrize("policies", [1, 3, 10])
def test_tolerance_is_reached_in_restricted_games(case: Any, policies: int) -> None:
    tree = case.tree
    allowed = random_choices(tree, policies, policies)
    solution = cfr.solve(tree, allowed, 3e-3)
    assert solution.gap <= 3e-3
    assert solution.gap == pytest.approx(restricted_nash_conv(tree, allowed, solution.table), abs=1e-15)
    assert solution.iterations >= 1


def test_policies_are_distributions_over_allowed_actions(case: Any) -> None:
    allowed = random_choices(case.tree, 2, 0)
    table = cfr.solve(case.tree, allowed, 1e-9, max_iterations=20).table
    assert not table[~allowed].any()
    assert table.min() >= 0
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize(
    "game", ["kuhn_poker(players=3)", "first_sealed_auction(max_value=4)", "matching_pennies_3p", "matrix_pd"]
)
def test_other_games_have_a_measured_gap_without_guarantee(game: str, compiled: Compiled) -> None:
    tree = compiled(game)
    uniform = traverse.nash_conv(tree, tree.uniform_policy())
    few, many = (cfr.solve(tree, tree.legal_actions, 1e-6, max_iterations=n) for n in (10, 1000))
    assert many.gap == pytest.approx(traverse.nash_conv(tree, many.table), abs=1e-12)
    assert many.gap < 0.2 * few.gap or many.gap <= 1e-6
    assert many.gap < 0.05 * uniform or uniform <= many.gap <= 1e-6
    assert not many.has_guarantee


def test_iterations_end_if_policies_circle(tmp_path: Path, compiled: Compiled) -> None:
    """In a variant of Shapley's game (1964), average policies do not come near the only equilibrium."""
    first, second = np.diag([2, 3, 4]), np.array([[0, 3, 0], [0, 0, 2], [5, 0, 0]])
    path = tmp_path / "shapley.nfg"
    # The first player's action changes fastest.
    payoffs = np.stack([first.T, second.T], axis=-1).ravel()
    path.write_text(f'NFG 1 R "" {{ "a" "b" }} {{ 3 3 }}\n\n{" ".join(map(str, payoffs))}\n')
    tree = compiled(f"nfg_game(filename={path})")
    solution = cfr.solve(tree, tree.legal_actions, 1e-6)
    assert 1000 <= solution.iterations <= 10_000
    assert 0.1 < solution.gap < 0.5
    assert solution.gap == pytest.approx(traverse.nash_conv(tree, solution.table), abs=1e-12)
    assert not solution.has_guarantee


@pytest.mark.parametrize("game", ["catch(rows=4,columns=3)", "tiny_hanabi", "cliff_walking(horizon=4)"])
def test_games_without_opponents_are_solved(game: str, compiled: Compiled) -> None:
    tree = compiled(game)
    assert cfr.solve(tree, tree.legal_actions, 1e-3).gap <= 1e-3


def test_action_that_only_loses_is_not_missed(compiled: Compiled) -> None:
    """Player 0 of Kuhn poker loses nothing if it never bets (Kuhn 1950), but more if it always does."""
    tree = compiled("kuhn_poker")
    never, always = tree.legal_actions.copy(), tree.legal_actions.copy()
    never[[tree.keys.index(card) for card in "012"], 1] = False
    always[[tree.keys.index(card) for card in "012"], 0] = False
    values = [value_of(tree, cfr.solve(tree, allowed, 1e-6).table) for allowed in (never, always)]
    np.testing.assert_allclose(values, [-1 / 18, value_by_pure_policies(tree, always)], atol=1e-6)
    assert values[1] < -0.1


def test_initial_policies_that_are_good_enough_are_returned_at_once(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    allowed = random_choices(tree, 5, 1)
    before = cfr.solve(tree, allowed, 1e-3)
    again = cfr.solve(tree, allowed, 1e-3, initial=before.table)
    assert before.iterations > 0
    assert again.iterations == 0
    assert again.gap == pytest.approx(before.gap, abs=1e-12)
    assert restricted_nash_conv(tree, allowed, again.table) == again.gap


def test_initial_policies_are_returned_if_iterations_find_nothing_better(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    good = cfr.solve(tree, tree.legal_actions, 1e-2)
    kept = cfr.solve(tree, tree.legal_actions, 1e-3, initial=good.table, max_iterations=5)
    better = cfr.solve(tree, tree.legal_actions, 1e-3, initial=good.table)
    assert kept.gap == pytest.approx(good.gap, abs=1e-12)
    assert better.gap <= 1e-3


def test_initial_policies_of_a_smaller_game_do_no_harm(compiled: Compiled, random_table: Tables) -> None:
    tree = compiled("leduc_poker")
    small, large = random_choices(tree, 2, 2), random_choices(tree, 4, 2)
    assert not (small & ~large).any()
    former = cfr.solve(tree, small, 1e-3).table
    for initial in (former, random_table(tree, 0)):
        warm = cfr.solve(tree, large, 1e-3, initial=initial)
        assert warm.gap <= 1e-3
        assert not warm.table[~large].any()


@pytest.mark.parametrize("limit", [{"max_iterations": 7}, {"max_seconds": 0.0}])
def test_limits_end_the_iterations_with_an_honest_gap(limit: dict[str, Any], compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    solution = cfr.solve(tree, tree.legal_actions, 1e-9, **limit)
    assert 1 <= solution.iterations <= 7
    assert solution.gap > 1e-2
    assert solution.gap == pytest.approx(traverse.nash_conv(tree, solution.table), abs=1e-12)


def test_solutions_are_reproducible(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    one, other = (cfr.solve(tree, random_choices(tree, 3, 0), 1e-2) for _ in range(2))
    np.testing.assert_array_equal(one.table, other.table)
    assert one.iterations == other.iterations


def illegal(tree: GameTree) -> dict[str, Any]:
    return {"allowed": np.ones_like(tree.legal_actions)}


def no_action(tree: GameTree) -> dict[str, Any]:
    allowed = tree.legal_actions.copy()
    allowed[3] = False
    return {"allowed": allowed}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (illegal, "not legal"),
        (no_action, "no action is allowed at information state 3"),
        (lambda tree: {"allowed": tree.legal_actions.astype(float)}, "must be a boolean array"),
        (lambda tree: {"allowed": tree.legal_actions[1:]}, "must be a boolean array of shape"),
        (lambda _: {"tolerance": 0.0}, "tolerance must be positive, and is 0.0"),
        (lambda _: {"tolerance": -1e-3}, "tolerance must be positive"),
        (lambda _: {"tolerance": float("nan")}, "tolerance must be positive"),
        (lambda _: {"max_seconds": -1.0}, "limit on seconds must not be negative"),
        (lambda _: {"max_iterations": 0}, "limit on iterations must be at least 1, and is 0"),
        (lambda tree: {"initial": tree.uniform_policy()[1:]}, "initial policies must have shape"),
        (lambda tree: {"initial": -tree.uniform_policy()}, "negative or not finite"),
        (lambda tree: {"initial": np.nan * tree.uniform_policy()}, "negative or not finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: Any, message: str, compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    arguments = {"allowed": tree.legal_actions, "tolerance": 1e-3} | change(tree)
    with pytest.raises(ValueError, match=message) as caught:
        cfr.solve(tree, **arguments)
    assert "\n" not in str(caught.value)


def test_regret_minimisation_does_not_import_jax() -> None:
    program = "import sys, acme_psro.restricted_games.cfr; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
