"""Exact best responses on graphs: equal to those on trees, and by hand."""

import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.evaluation import beliefs
from acme_psro.evaluation.beliefs import Progress
from acme_psro.games import traverse
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from tests.acme_psro.evaluation.made_up_graphs import (
    guess_the_coin,
    hide_twice,
    random_graph,
    random_tables,
    wait_or_take,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]
ONE = np.ones(1)
DARK_HEX = ["dark_hex(board_size=2)", "dark_hex(board_size=2,gameversion=adh)"]


def tree_gains(tree: GameTree, tables: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the gains by dynamic programming over the tree's information states."""
    plan = np.ones(tree.empty_sequence + 1)
    for player in range(tree.num_players):
        rows = tree.infosets_of(player)
        own = slice(rows.start * tree.num_actions, rows.stop * tree.num_actions)
        plans = [traverse.realisation_plan(tree, table)[own] for table in tables[player]]
        plan[own] = weights[player] @ np.stack(plans)
    return traverse.gains(tree, plan)


def check_gains(tree: GameTree, members: int, unused: float) -> None:
    players = range(tree.num_players)
    tables = [random_tables(tree.legal_actions, members, seed, unused) for seed in players]
    weights = [np.random.default_rng(seed).dirichlet(np.ones(members)) for seed in players]
    found = beliefs.gains(graph_of_tree(tree), tables, weights)
    np.testing.assert_allclose(found, tree_gains(tree, tables, weights), rtol=0, atol=1e-9)


@pytest.mark.parametrize("unused", [0.0, 0.6])
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.games("kuhn", "leduc", "liars_dice", "goofspiel", "auction", "hanabi", "repeated_dilemma")
def test_gains_equal_those_of_the_tree(case: Any, members: int, unused: float) -> None:
    check_gains(case.tree, members, unused)


@pytest.mark.parametrize("name", ["kuhn_poker(players=3)", "kuhn_poker(players=4)"])
def test_gains_of_more_than_two_players_equal_those_of_the_tree(
    name: str, compiled: Callable[[str], GameTree]
) -> None:
    check_gains(compiled(name), 2, 0.3)


@pytest.mark.parametrize("game", DARK_HEX)
def test_gains_equal_those_of_the_tree_of_dark_hex(game: str, compiled: Callable[[str], GameTree]) -> None:
    check_gains(compiled(game), 3, 0.3)


def observations_of_tree(tree: GameTree, graph: GameGraph) -> np.ndarray:
    """Returns `[I]`, the observation of the merged graph at each information state of the tree."""
    node = np.zeros(tree.num_nodes, np.int64)
    for child in range(1, tree.num_nodes):
        node[child] = graph.successor[graph.first_edge[node[tree.parent[child]]] + tree.slot[child]]
    decisions = tree.player >= 0
    observation = np.zeros(tree.num_infosets, np.int64)
    observation[tree.infoset[decisions]] = graph.observation[node[decisions]]
    np.testing.assert_array_equal(observation[tree.infoset[decisions]], graph.observation[node[decisions]])
    return observation


THREE = "goofspiel(players=3,num_cards=3,imp_info=True,points_order=descending,returns_type=total_points)"
MERGED = ["leduc_poker", THREE, "liars_dice(dice_sides=3)", *DARK_HEX]


@pytest.mark.parametrize("name", [*MERGED, pytest.param("tic_tac_toe", marks=pytest.mark.slow)])
def test_gains_on_merged_states_equal_those_of_the_tree(
    name: str, compiled: Callable[[str], GameTree]
) -> None:
    tree, graph = compiled(name), compile_graph(name, cache=False)
    assert graph.num_nodes < tree.num_nodes
    rows = observations_of_tree(tree, graph)
    players = range(graph.num_players)
    tables = [random_tables(graph.legal_actions, 3, seed, 0.3) for seed in players]
    weights = [np.random.default_rng(seed).dirichlet(np.ones(3)) for seed in players]
    found = beliefs.gains(graph, tables, weights)
    expected = tree_gains(tree, [each[:, rows] for each in tables], weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_uniform_play_in_phantom_tic_tac_toe() -> None:
    graph = compile_graph("phantom_ttt", cache=False)
    uniform = graph.uniform_policy()[None]
    # The first value is that of another program, which looks at all of the player's 3.7 million states.
    assert beliefs.best_response_value(graph, 0, uniform, ONE) == pytest.approx(0.953125, abs=1e-9)
    assert beliefs.best_response_value(graph, 1, uniform, ONE) == pytest.approx(0.6243386243, abs=1e-9)
    # The equilibrium is worth 2/3 to player 0, so that its best responses are worth no less, and those of
    # player 1 no less than -2/3.
    for seed in range(3):
        tables = random_tables(graph.legal_actions, 2, seed, unused=0.5)
        values = [beliefs.best_response_value(graph, player, tables, np.full(2, 0.5)) for player in range(2)]
        assert values[0] >= 2 / 3 and values[1] >= -2 / 3


@pytest.mark.slow
def test_gains_equal_those_of_a_large_tree(compiled: Callable[[str], GameTree]) -> None:
    check_gains(compiled("tic_tac_toe"), 2, 0.3)


@pytest.mark.games("kuhn")
def test_equilibrium_cannot_be_exploited(case: Any) -> None:
    # Player 0 bets with no card at first, player 1 bluffs with a third of its jacks (Kuhn 1950).
    bets = {"0": 0, "0pb": 0, "1": 0, "1pb": 1 / 3, "2": 0, "2pb": 1}
    bets |= {"0p": 1 / 3, "0b": 0, "1p": 0, "1b": 1 / 3, "2p": 1, "2b": 1}
    table = np.array([[1 - bets[key], bets[key]] for key in case.tree.keys])
    graph = graph_of_tree(case.tree)
    assert beliefs.nash_conv(graph, [table[None]] * 2, [ONE] * 2) < 1e-12
    uniform = graph.uniform_policy()[None]
    assert beliefs.exploitability(graph, [uniform] * 2, [ONE] * 2) == pytest.approx(0.4583333333)


def test_three_steps_by_hand() -> None:
    graph = guess_the_coin()
    # Heads and left 0.4, tails and left 0.15, heads and right 0.1, tails and right 0.35: guess the likelier.
    table = np.array([[1, 0], [1, 0], [0.8, 0.2], [0.3, 0.7]])
    assert beliefs.best_response_value(graph, 0, table[None], ONE) == pytest.approx(0.75, abs=1e-12)
    # The second member makes these 0.3, 0.2375, 0.2 and 0.2625.
    other = np.array([[1, 0], [1, 0], [0, 1], [1, 0]])
    mixture = np.stack([table, other]), np.array([0.75, 0.25])
    assert beliefs.best_response_value(graph, 0, *mixture) == pytest.approx(0.5625, abs=1e-12)
    # Player 0 always guesses heads, which is right half of the time, whatever player 1 says.
    assert beliefs.best_response_value(graph, 1, table[None], ONE) == pytest.approx(-0.5, abs=1e-12)
    gains = beliefs.gains(graph, [table[None], mixture[0]], [ONE, mixture[1]])
    np.testing.assert_allclose(gains, [0.0625, 0.0], atol=1e-12)


def test_responder_remembers_its_guess_and_so_finds_out_the_member() -> None:
    graph, own = hide_twice(), np.full((3, 2), 0.5)
    left, right, both = (np.concatenate([own, [row]]) for row in ([1, 0], [0, 1], [0.6, 0.4]))
    members = np.stack([left, right]), np.array([0.6, 0.4])
    assert beliefs.best_response_value(graph, 0, *members) == pytest.approx(0.6 + 1.0, abs=1e-12)
    # One policy with the same probabilities decides anew each time.
    assert beliefs.best_response_value(graph, 0, both[None], ONE) == pytest.approx(0.6 + 0.6, abs=1e-12)


@pytest.mark.parametrize(("pays", "value"), [(0.5, 0.75), (0.9, 0.9)])
def test_cyclic_graph_by_hand(pays: float, value: float) -> None:
    # Player 0 comes after one move with probability 1/2 and after two with 1/4. If it takes, it gets 3/4. If
    # it waits, only the first case is early enough, and is worth twice the probability that player 1 pays.
    table = np.array([[1, 0], [0.5, 0.5], [pays, 1 - pays]])
    graph = wait_or_take()
    assert beliefs.best_response_value(graph, 0, table[None], ONE) == pytest.approx(value, abs=1e-12)
    assert beliefs.best_response_value(graph, 1, table[None], ONE) == pytest.approx(0.0, abs=1e-12)


def test_result_does_not_depend_on_threads_progress_or_members_that_are_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = random_graph(7, cyclic=True)
    tables = random_tables(graph.legal_actions, 3, 0)
    weights = np.array([0.5, 0.2, 0.3])
    expected = beliefs.gains(graph, [tables] * 2, [weights] * 2, threads=1)
    monkeypatch.setattr(beliefs, "_SLICE", 1)
    seen: list[Progress] = []
    found = beliefs.gains(graph, [tables] * 2, [weights] * 2, threads=2, on_progress=seen.append)
    np.testing.assert_array_equal(found, expected)
    for player in range(2):
        own = [progress for progress in seen if progress.player == player]
        counts, shares = ([progress[field] for progress in own] for field in (1, 2))
        assert len(own) > 10 and counts == sorted(counts)
        assert shares == sorted(shares) and shares[0] >= 0 and shares[-2:] != [1, 1] and shares[-1] == 1
    twice = np.concatenate([tables, tables]), np.concatenate([weights, weights]) / 2
    found = beliefs.gains(graph, [twice[0]] * 2, [twice[1]] * 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_error_of_a_callback_ends_both_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beliefs, "_SLICE", 1)
    graph = random_graph(7, cyclic=True)
    tables = random_tables(graph.legal_actions, 3, 0)

    def stop(progress: Progress) -> None:
        raise KeyError(progress.player)

    before = set(threading.enumerate())
    with pytest.raises(KeyError):
        beliefs.gains(graph, [tables] * 2, [np.full(3, 1 / 3)] * 2, threads=2, on_progress=stop)
    assert set(threading.enumerate()) <= before


def test_memory_bound_is_kept() -> None:
    graph = random_graph(7, cyclic=True)
    tables = random_tables(graph.legal_actions, 3, 0)
    with pytest.raises(ValueError, match="do not fit the memory bound: raise max_gigabytes") as caught:
        beliefs.best_response_value(graph, 0, tables, np.full(3, 1 / 3), max_gigabytes=1e-6)
    assert "\n" not in str(caught.value)


def test_other_numbers_of_players_are_refused() -> None:
    graph = random_graph(0)
    with pytest.raises(ValueError, match="there is no player 2: it is one of 0 to 1"):
        beliefs.best_response_value(graph, 2, graph.uniform_policy()[None], ONE)
    with pytest.raises(ValueError, match="give 2 mixtures, one a player, not 1 tables and 2 weights"):
        beliefs.gains(graph, [graph.uniform_policy()[None]], [ONE] * 2)


def test_numba_and_jax_are_not_loaded_until_a_search_begins() -> None:
    program = (
        "import sys; from acme_psro.evaluation import beliefs; print(*{'numba', 'jax'} & set(sys.modules));"
        "from tests.acme_psro.evaluation.made_up_graphs import *; graph = guess_the_coin();"
        "print(beliefs.best_response_value(graph, 0, graph.uniform_policy()[None], np.ones(1)));"
        "print(*{'numba', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n0.5\nnumba\n"), done.stderr
