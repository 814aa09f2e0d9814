"""Tests of acme_psro.load_policy: a run as a policy that OpenSpiel's own algorithms take."""

import pathlib
import subprocess
import sys

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability

import acme_psro
from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config


def _run(directory: pathlib.Path, game: str, solver: str, iterations: int) -> Evaluation:
    """Leaves a run of the exact oracle; returns the figures of its last mixture."""
    tree = compile_game(game)
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver(solver))
    state = loop.initialise(meta_game, psro)
    steps = loop.run(
        state,
        seed=0,
        iterations=iterations,
        oracle=exact.make_oracle(tree),
        meta_game=meta_game,
        loop=psro,
        converged=lambda state: False,
    )
    *_, state = steps
    write_config(directory, {"game": game})
    record = Record(state, [{"iteration": 0}], [state.meta_strategy])
    checkpoint.save(directory / "checkpoints", record, formats.of_tree(tree))
    return evaluate_mixture(tree, state.populations, state.meta_strategy)


@pytest.mark.parametrize(
    ("game", "solver", "iterations"),
    [("kuhn_poker", "nash", 3), ("leduc_poker", "nash", 3), ("kuhn_poker(players=3)", "regret_matching", 3)],
)
def test_openspiel_finds_the_same_exploitability(
    tmp_path: pathlib.Path, game: str, solver: str, iterations: int
) -> None:
    figures = _run(tmp_path, game, solver, iterations)
    policy, loaded = acme_psro.load_policy(tmp_path), pyspiel.load_game(game)
    assert figures.exploitability > 1e-3
    assert exploitability.nash_conv(loaded, policy) == pytest.approx(figures.nash_conv, abs=1e-9)
    if loaded.num_players() == 2:
        value = exploitability.exploitability(loaded, policy)
        assert value == pytest.approx(figures.exploitability, abs=1e-9)
    returns = expected_game_score.policy_value(loaded.new_initial_state(), [policy] * loaded.num_players())
    np.testing.assert_allclose(returns, figures.expected_returns, atol=1e-9)


def test_games_with_simultaneous_moves_are_played_in_turn_based_form(tmp_path: pathlib.Path) -> None:
    game = "goofspiel(num_cards=3,points_order=descending)"
    figures = _run(tmp_path, game, "nash", 1)
    loaded = pyspiel.convert_to_turn_based(pyspiel.load_game(game))
    value = exploitability.exploitability(loaded, acme_psro.load_policy(str(tmp_path)))
    assert value == pytest.approx(figures.exploitability, abs=1e-9)


def test_a_policy_gives_probabilities_over_legal_actions(tmp_path: pathlib.Path) -> None:
    _run(tmp_path, "kuhn_poker", "nash", 4)
    policy = acme_psro.load_policy(tmp_path)
    state = pyspiel.load_game("kuhn_poker").new_initial_state()
    for action in (0, 2):
        state.apply_action(action)
    for action in (0, 1):
        probabilities = policy.action_probabilities(state)
        assert list(probabilities) == state.legal_actions()
        assert sum(probabilities.values()) == pytest.approx(1.0)
        assert policy.action_probabilities(state, state.current_player()) == probabilities
        state.apply_action(action)


def test_what_is_no_run_is_a_value_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no run in"):
        acme_psro.load_policy(tmp_path)


def test_importing_the_package_imports_next_to_nothing() -> None:
    script = (
        "import sys, acme_psro; "
        "print(sorted({'jax', 'pyspiel', 'numpy', 'tensorflow', 'acme'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
