"""JPSRO: joint meta-strategies, responses to recommendations, and equilibria of the whole game."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from acme_psro.evaluation.correlated import ce_gains, gaps
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.tabular import Policy
from acme_psro.psro import joint, loop
from acme_psro.psro.registry import LOOPS, check_solver_serves
from acme_psro.solvers import SOLVERS, get_solver
from acme_psro.solvers.properties import Concept, properties_of

State = loop.PSROState[Policy, np.ndarray]
CORRELATED = ["max_gini_cce", "max_gini_ce"]


def _run(tree: GameTree, solver: str, most: int = 30) -> State:
    meta_game, oracle = ExactMetaGame(tree), exact.make_oracle(tree)
    jpsro = joint.make_loop(tree, meta_game, get_solver(solver), properties_of(solver).concept)
    column = "ce_gap" if properties_of(solver).concept is Concept.CE else "cce_gap"
    state = loop.initialise(meta_game, jpsro)
    while state.figures[column] > 1e-6 and state.iteration < most:
        key = loop.iteration_key(0, state.iteration)
        state = loop.step(state, key, oracle=oracle, meta_game=meta_game, loop=jpsro)
    return state


@pytest.mark.long
@pytest.mark.parametrize("solver", CORRELATED)
@pytest.mark.parametrize("game", ["kuhn_poker(players=3)", "tiny_bridge_2p", "matrix_bos"])
def test_it_ends_in_an_equilibrium_of_the_whole_game(
    game: str, solver: str, compiled: Callable[[str], GameTree]
) -> None:
    tree = compiled(game)
    state = _run(tree, solver)
    assert isinstance(state.meta_strategy, JointStrategy)
    found = gaps(tree, state.populations, state.meta_strategy)
    gains = found.ce_gains if properties_of(solver).concept is Concept.CE else found.cce_gains
    assert gains.max() <= 1e-6
    assert state.figures["welfare"] == pytest.approx(found.expected_returns.sum(), abs=1e-12)


def test_every_recommended_policy_has_a_task_of_its_own(compiled: Callable[[str], GameTree]) -> None:
    tree = compiled("tiny_bridge_2p")
    meta_game, oracle = ExactMetaGame(tree), exact.make_oracle(tree)
    jpsro = joint.make_loop(tree, meta_game, get_solver("max_gini_ce"), Concept.CE, "all")
    state = loop.initialise(meta_game, jpsro)
    for iteration in range(2):
        key = loop.iteration_key(0, iteration)
        state = loop.step(state, key, oracle=oracle, meta_game=meta_game, loop=jpsro)
    strategy = joint.require_joint(state.meta_strategy)
    tasks = jpsro.tasks(state)
    for player in range(2):
        own = [task for task in tasks if task.player == player]
        told = set(strategy.profiles[strategy.probabilities > 1e-6][:, player].tolist())
        assert len(own) == len(told) > 1
        assert sum(task.weight for task in own) == pytest.approx(1.0)
        for task in own:
            assert isinstance(task.meta_strategy, JointStrategy)
            assert len(np.unique(task.meta_strategy.profiles[:, player])) == 1
            assert task.meta_strategy.probabilities.sum() == pytest.approx(1.0)
    # The task of the largest gap is one of them.
    alone = joint.make_loop(tree, meta_game, get_solver("max_gini_ce"), Concept.CE).tasks(state)
    assert [task.player for task in alone] == [0, 1]
    for task in alone:
        own = [each for each in tasks if each.player == task.player]
        gaps_of = [
            each.weight * response.best_gain for each, response in zip(own, oracle(key, own), strict=True)
        ]
        (response,) = oracle(key, [task])
        assert task.weight * response.best_gain == pytest.approx(max(gaps_of), abs=1e-12)
        assert sum(gaps_of) == pytest.approx(ce_gains(tree, state.populations, strategy)[task.player])


def test_the_largest_gap_alone_keeps_meta_games_small(compiled: Callable[[str], GameTree]) -> None:
    """With all responses populations double in an iteration, and this does not end in minutes."""
    tree = compiled(
        "sheriff(item_penalty=1.0,item_value=5.0,max_bribe=2,max_items=3,num_rounds=2,sheriff_penalty=1.0)"
    )
    state = _run(tree, "max_gini_ce")
    assert state.figures["ce_gap"] <= 1e-6
    assert max(len(own) for own in state.populations) <= state.iteration + 1 < 30


def test_loops_refuse_answers_of_the_other_kind() -> None:
    with pytest.raises(ValueError, match="max_gini_cce returns a joint distribution, and --loop=psro needs"):
        check_solver_serves("psro", "max_gini_cce")
    with pytest.raises(ValueError, match="nash returns marginals, and --loop=jpsro needs a joint"):
        check_solver_serves("jpsro", "nash")
    # Loops without a meta-solver do not care.
    check_solver_serves("xdo", "max_gini_cce")
    with pytest.raises(ValueError, match="needs a meta-solver that returns a joint distribution"):
        joint.require_joint(ProductStrategy((np.ones(1), np.ones(1))))


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_the_default_meta_solver_of_a_loop_serves_it(name: str) -> None:
    entry = LOOPS[name]
    if entry.uses_solver:
        assert entry.default_solver in SOLVERS
        check_solver_serves(name, entry.default_solver)
