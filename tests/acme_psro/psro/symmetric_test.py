"""One population for both players: equal populations, half of the work, the same equilibria, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acme_psro
from acme_psro.games.symmetry import exchange, require_counterparts
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.profiles import cell_probabilities
from acme_psro.oracles.base import BestResponseTask, Counts, Response
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.tabular import uniform_policy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.psro import loop, symmetric
from acme_psro.solvers import SOLVERS, get_solver

GOOFSPIEL = "goofspiel(imp_info=True,num_cards=4,points_order=descending)"


def _finish(tree: GameTree, directory: Path, **options: Any) -> tuple[Any, int]:
    """Returns the last state of a run with exact responses, and the number of responses asked for."""
    config = PSROConfig(tree.game_string, oracle="exact", payoffs="exact", iterations=25, **options)
    run = ExactRun(config, tree, directory, 0.0, pytest.fail)
    asked = 0

    def oracle(key: np.ndarray, tasks: Any) -> Any:
        nonlocal asked
        asked += len(tasks)
        return run.oracle(key, tasks)

    state = loop.initialise(run.meta_game, run.loop)
    for following in loop.run(
        state,
        0,
        25,
        oracle=oracle,
        meta_game=run.meta_game,
        loop=run.loop,
        converged=run.converged,
        holds=run.holds,
        is_repeatable=True,
    ):
        state = following
    assert run.converged(state)
    return state, asked


@pytest.mark.parametrize(
    ("game", "options"),
    [
        (GOOFSPIEL, {}),
        (GOOFSPIEL, {"meta_solver": "regret_matching", "tolerance": 0.01}),
        ("matrix_pd", {"meta_solver": "prd", "tolerance": 0.1}),
        (GOOFSPIEL, {"loop": "jpsro", "meta_solver": "max_gini_cce"}),
        (GOOFSPIEL, {"loop": "jpsro", "meta_solver": "max_gini_ce"}),
    ],
    ids=["psro", "approximate", "general", "cce", "ce"],
)
def test_both_players_have_one_population(
    game: str, options: dict[str, Any], compiled: Callable[[str], GameTree], tmp_path: Path
) -> None:
    tree = compiled(game)
    state, asked = _finish(tree, tmp_path, symmetric=True, **options)
    counterparts = require_counterparts(tree)
    own, others = state.populations
    assert len(own) == len(others) > 1
    for one, two in zip(own, others, strict=True):
        np.testing.assert_array_equal(exchange(tree, counterparts, 0, one.table), two.table)
    np.testing.assert_allclose(state.payoffs[1], state.payoffs[0].T, atol=1e-12)
    cells = cell_probabilities(state.meta_strategy, state.payoffs.shape[1:])
    np.testing.assert_allclose(cells, cells.T, atol=1e-15)
    if options.get("meta_solver") != "max_gini_ce":
        assert asked <= state.iteration + 1


def test_it_ends_in_an_equilibrium_with_fewer_responses(
    compiled: Callable[[str], GameTree], tmp_path: Path
) -> None:
    tree = compiled(GOOFSPIEL)
    _, shared = _finish(tree, tmp_path, symmetric=True)
    _, separate = _finish(tree, tmp_path)
    assert shared < separate


def test_work_is_counted_once(compiled: Callable[[str], GameTree]) -> None:
    tree = compiled("matrix_rps")
    policy = uniform_policy(tree, 0)
    response = Response(policy, 0.5, 0.75, Counts(1, 2, 3), others=(policy,))
    strategy = ProductStrategy((np.ones(1), np.ones(1)))
    task = BestResponseTask(0, ((policy,), (policy,)), strategy, weight=0.25)
    tasks, responses = symmetric.complete_responses(tree, require_counterparts(tree), [task], [response])
    assert [each.player for each in tasks] == [0, 1] and tasks[1].weight == 0.25
    assert responses[0] is response and responses[1].counts == Counts()
    assert (responses[1].gain, responses[1].best_gain) == (0.5, 0.75) and len(responses[1].others) == 1
    empty = dataclasses.replace(response, policy=None, others=())
    assert (
        symmetric.complete_responses(tree, require_counterparts(tree), [task], [empty])[1][1].policy is None
    )


def test_answers_are_made_the_same_for_both_players() -> None:
    found = symmetric.even_out(ProductStrategy((np.array([1.0, 0.0]), np.array([0.5, 0.5]))))
    assert isinstance(found, ProductStrategy)
    for marginal in found.marginals:
        np.testing.assert_allclose(marginal, [0.75, 0.25])
    joint = symmetric.even_out(JointStrategy(np.array([[0, 1], [2, 2]]), np.array([0.5, 0.5])))
    np.testing.assert_allclose(
        cell_probabilities(joint, (3, 3)),
        [[0, 0.25, 0], [0.25, 0, 0], [0, 0, 0.5]],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "name", ["max_gini_ce", "max_welfare_cce", "max_entropy_ce", "hedge_cce", "regret_matching", "prd"]
)
def test_solvers_of_general_sums_treat_both_players_alike_anyway(name: str) -> None:
    rows = np.random.default_rng(0).standard_normal((4, 4))
    payoffs = np.stack([rows, rows.T])
    found = cell_probabilities(get_solver(name)(payoffs), (4, 4))
    np.testing.assert_allclose(found, found.T, atol=1e-6)


def test_meta_solvers_that_prefer_a_player_are_refused_in_general_sums() -> None:
    for name in SOLVERS:
        symmetric.check_solver_shares(name, True)
    with pytest.raises(ValueError, match=r"general_sum_nash may not in general-sum games; use one of alpha"):
        symmetric.check_solver_shares("general_sum_nash", False)


@pytest.mark.parametrize(
    ("game", "options", "says"),
    [
        ("kuhn_poker", {}, r"kuhn_poker\(\) is not symmetric: exchanging the players changes"),
        ("kuhn_poker(players=3)", {"meta_solver": "prd"}, r"is not symmetric: it has 3 players, not 2"),
        ("matrix_rps", {"loop": "xdo"}, "symmetric needs loop='psro' or loop='jpsro', not xdo"),
        ("matrix_rps", {"oracle": "launchpad"}, "symmetric needs oracle='exact' or oracle='device'"),
        ("matrix_pd", {"meta_solver": "general_sum_nash"}, "treats both players alike"),
        ("phantom_ttt", {"oracle": "device", "max_nodes": 100}, "symmetric needs a game that compiles"),
    ],
)
def test_bad_input(game: str, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    given = {"oracle": "exact", "symmetric": True, **options}
    with pytest.raises(ValueError, match=says) as refusal:
        acme_psro.run(game, output_dir=tmp_path / "run", show_progress=False, **given)
    assert "\n" not in str(refusal.value) and not (tmp_path / "run").exists()


def test_a_resumed_run_is_the_run_itself(tmp_path: Path) -> None:
    given: dict[str, Any] = {"oracle": "exact", "symmetric": True, "show_progress": False}
    whole = acme_psro.run(GOOFSPIEL, iterations=4, output_dir=tmp_path / "whole", **given)
    acme_psro.run(GOOFSPIEL, iterations=2, output_dir=tmp_path / "parts", **given)
    parts = acme_psro.run(GOOFSPIEL, iterations=4, output_dir=tmp_path / "parts", resume=True, **given)
    assert [row["nash_conv"] for row in whole.metrics] == [row["nash_conv"] for row in parts.metrics]
    np.testing.assert_array_equal(whole.payoffs, parts.payoffs)
    with pytest.raises(ValueError, match="symmetric is True, not False"):
        acme_psro.run(
            GOOFSPIEL, output_dir=tmp_path / "parts", resume=True, oracle="exact", show_progress=False
        )
