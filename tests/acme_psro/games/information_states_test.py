"""A state names its information state as the compiled game does, and loaded policies play it."""

import pickle
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.information_states import extend_name, make_namer, make_play_namer
from acme_psro.games.loading import load_game
from acme_psro.policies.as_openspiel import table_policy


def test_states_name_what_the_tree_holds(case: Any) -> None:
    tree, name = case.tree, make_namer(case.game)
    for node in np.flatnonzero(tree.infoset >= 0)[:: max(1, tree.num_nodes // 500)]:
        player = int(tree.player[node])
        assert name(case.state_of(int(node)), player) == tree.keys[tree.infoset[node]]


def test_names_along_a_play_are_those_of_its_states(case: Any) -> None:
    name = make_namer(case.game)
    for seed in range(10):
        along = make_play_namer(case.game)
        for state in states_of_a_play(case.game, seed):
            assert along(state, state.current_player()) == name(state, state.current_player())


def test_names_tell_histories_apart() -> None:
    first = extend_name(None, 0, "a")
    names = {
        first,
        extend_name(None, 0, "b"),
        extend_name(first, 0, "a"),
        extend_name(first, 1, "a"),
        extend_name(extend_name(first, 0, "a"), 0, "a"),
    }
    assert len(names) == 5
    # What happened before the first decision is told by the observation alone.
    assert extend_name(None, 7, "a") == first


NAMELESS = [
    "deep_sea(size=3)",
    "catch(rows=4,columns=3)",
    "breakthrough(rows=4,columns=2)",
    "cliff_walking(horizon=4)",
    "pathfinding(horizon=4)",
    "repeated_game(num_repetitions=2,stage_game=matrix_pd())",
    "oshi_zumo(coins=3,size=1,horizon=3)",
    "tiny_hanabi",
    "nim(pile_sizes=1;2)",
]


@pytest.mark.parametrize("game", NAMELESS)
def test_openspiel_gives_a_loaded_policy_the_same_value(game: str, random_table: Any) -> None:
    """OpenSpiel's best responses need information state strings, but its values do not."""
    tree = compile_game(game)
    table = random_table(tree, 0)
    policy = pickle.loads(pickle.dumps(table_policy(tree, table)))
    loaded = load_game(tree.game_string)
    policies = [policy] * loaded.num_players()
    found = expected_game_score.policy_value(loaded.new_initial_state(), policies)
    expected = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    if loaded.get_type().provides_information_state_string:
        nash_conv = exploitability.nash_conv(loaded, policy)
        assert nash_conv == pytest.approx(traverse.nash_conv(tree, table), abs=1e-9)


def states_of_a_play(game: pyspiel.Game, seed: int) -> list[Any]:
    """Returns the decision states of a random play."""
    rng, state, states = np.random.default_rng(seed), game.new_initial_state(), []
    while not state.is_terminal():
        if state.is_chance_node():
            moves = [action for action, _ in state.chance_outcomes()]
        else:
            states.append(state.clone())
            moves = state.legal_actions()
        state.apply_action(int(rng.choice(moves)))
    return states


@pytest.mark.games("kuhn")
def test_a_state_of_another_game_is_refused_in_one_line(case: Any) -> None:
    policy = table_policy(case.tree, case.tree.uniform_policy())
    (state, *_) = states_of_a_play(load_game("leduc_poker"), 0)
    with pytest.raises(ValueError, match=r"plays kuhn_poker\(\).* state of leduc_poker\(\)"):
        policy.action_probabilities(state)
