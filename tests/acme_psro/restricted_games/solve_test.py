"""Restricted games are solved by the method that suits them, and exact XDO ends at an equilibrium."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies.tabular import Policy, Population, make_policy, uniform_policy
from acme_psro.restricted_games import cfr
from acme_psro.restricted_games import solve as solving
from acme_psro.restricted_games.certificate import restricted_nash_conv
from acme_psro.restricted_games.game import allowed_actions
from acme_psro.restricted_games.solve import solve, suits_program
from acme_psro.solvers import highs

Compiled = Callable[[str], GameTree]
Tables = Callable[[GameTree, int], np.ndarray]

ZERO_SUM = (
    "kuhn", "leduc", "isomorphic_leduc", "liars_dice", "goofspiel", "rock_paper_scissors",
    "coordinated_pennies",
)  # fmt: skip
# Share of the opponents' play that is uniform where ties between best responses are settled.
TREMBLE = 0.02


def value_of(tree: GameTree, table: np.ndarray) -> float:
    return float(traverse.expected_returns(tree, traverse.realisation_plan(tree, table))[0])


@pytest.mark.games(*ZERO_SUM)
@pytest.mark.parametrize("seed", range(2))
def test_both_methods_agree(case: Any, seed: int, pure_table: Tables) -> None:
    tree = case.tree
    allowed = sum(pure_table(tree, 10 * seed + n) for n in range(3)) > 0
    exact, regrets = solve(tree, allowed), cfr.solve(tree, allowed, 5e-3)
    assert exact.method.startswith("linear program")
    assert not regrets.method.startswith("linear program")
    assert abs(exact.gap) < 1e-9
    # Each player is at most the other method's gap away from the value.
    assert value_of(tree, exact.table) == pytest.approx(value_of(tree, regrets.table), abs=5e-3 + 1e-9)


@pytest.mark.parametrize("game", ["kuhn_poker(players=3)", "first_sealed_auction(max_value=4)", "matrix_pd"])
def test_other_games_are_solved_by_regret_minimisation(game: str, compiled: Compiled) -> None:
    tree = compiled(game)
    assert not suits_program(tree, tree.legal_actions)
    solution = solve(tree, tree.legal_actions, 1e-2, max_seconds=5)
    assert not solution.method.startswith("linear program")
    assert not solution.has_guarantee
    expected = restricted_nash_conv(tree, tree.legal_actions, solution.table)
    assert solution.gap == pytest.approx(expected, abs=1e-12)


def test_large_games_are_solved_by_regret_minimisation(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = compiled("leduc_poker")
    allowed = tree.legal_actions
    monkeypatch.setattr(solving, "MAX_PROGRAM_TERMINALS", 5520)
    assert suits_program(tree, allowed)
    monkeypatch.setattr(solving, "MAX_PROGRAM_TERMINALS", 5519)
    assert not suits_program(tree, allowed)
    solution = solve(tree, allowed, 0.05)
    assert not solution.method.startswith("linear program")
    assert 0 < solution.gap <= 0.05
    # What counts is the size of the restricted game.
    first = np.eye(tree.num_actions, dtype=bool)[allowed.argmax(axis=1)]
    assert suits_program(tree, first)


def test_regret_minimisation_takes_over_if_the_program_fails(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = compiled("kuhn_poker")
    true = highs.linprog

    def linprog(*args: Any, **kwargs: Any) -> Any:
        result = true(*args, **kwargs)
        result.status = 1
        return result

    monkeypatch.setattr(highs, "linprog", linprog)
    solution = solve(tree, tree.legal_actions, 1e-3)
    assert not solution.method.startswith("linear program")
    assert solution.gap <= 1e-3


def test_initial_policies_help_regret_minimisation(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = compiled("leduc_poker")
    equilibrium = solve(tree, tree.legal_actions).table
    monkeypatch.setattr(solving, "MAX_PROGRAM_TERMINALS", 0)
    again = solve(tree, tree.legal_actions, 1e-6, initial=equilibrium)
    assert again.iterations == 0
    assert again.gap <= 1e-6


def exact_xdo(tree: GameTree, iterations: int) -> list[float]:
    """Returns the exploitability before each iteration of XDO with exact responses."""
    uniform = tree.uniform_policy()
    populations: list[Population] = [(uniform_policy(tree, player),) for player in range(2)]
    table, found = uniform, []
    for _ in range(iterations):
        plan = traverse.realisation_plan(tree, table)
        found.append(float(traverse.gains(tree, plan).sum()) / 2)
        if found[-1] <= 1e-7:
            break
        # Ties are settled by play against opponents that sometimes move at random.
        trembling = traverse.realisation_plan(tree, (1 - TREMBLE) * table + TREMBLE * uniform)
        for player in range(2):
            response = traverse.best_response(tree, plan, player, otherwise=trembling).table
            populations[player] = (*populations[player], policy_of(tree, player, response))
        allowed = allowed_actions(tree, populations, first=1)
        table = solve(tree, allowed, max(0.05 * found[-1], 1e-9)).table
    return found


def policy_of(tree: GameTree, player: int, table: np.ndarray) -> Policy:
    return make_policy(tree, player, table[tree.infosets_of(player)])


@pytest.mark.games("kuhn", "leduc", "isomorphic_leduc", "liars_dice", "goofspiel")
def test_xdo_with_exact_responses_ends_at_an_equilibrium(case: Any) -> None:
    found = exact_xdo(case.tree, 25)
    assert found[-1] <= 1e-7
    assert found[0] > 1e-3


def test_xdo_needs_few_iterations_in_leduc_poker(compiled: Compiled) -> None:
    """PSRO with exact responses is at 0.013 after 150."""
    assert len(exact_xdo(compiled("leduc_poker"), 12)) <= 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, r"^the tolerance must be a positive number, and is 0\.0\.$"),
        ({"tolerance": float("nan")}, r"^the tolerance must be a positive number, and is nan\.$"),
        ({"tolerance": float("inf")}, r"^the tolerance must be a positive number, and is inf\.$"),
        ({"max_seconds": 0.0}, r"^max_seconds must be positive, and is 0\.0\.$"),
        ({"max_seconds": float("nan")}, r"^max_seconds must be positive, and is nan\.$"),
    ],
)
def test_bad_limits_are_refused(options: dict[str, float], message: str, compiled: Compiled) -> None:
    tree = compiled("kuhn_poker")
    with pytest.raises(ValueError, match=message):
        solve(tree, tree.legal_actions, **options)


def test_illegal_actions_are_refused(compiled: Compiled) -> None:
    tree = compiled("leduc_poker")
    with pytest.raises(ValueError, match="an action that is not legal is among the allowed ones"):
        solve(tree, np.ones_like(tree.legal_actions))
