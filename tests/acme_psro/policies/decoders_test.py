"""Tests of policies on graphs as files, which play OpenSpiel's states by what their players see."""

from __future__ import annotations

import pathlib

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import expected_game_score

from acme_psro.games import sweeps
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.loading import load_game
from acme_psro.policies import as_openspiel, decoders, stored
from acme_psro.policies.decoders import DECODERS, decode, from_graph_policy, table_on_graph
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from tests.acme_psro.games.graphs import CYCLIC, graph_of, random_table, tree_of

GAMES = ("kuhn_poker", "leduc_poker", "dark_hex(board_size=2)", "coordinated_mp", *CYCLIC)


def stored_table(graph: GameGraph, player: int, path: pathlib.Path, seed: int = 0) -> StoredPolicy:
    """Returns a random policy that was written to a file and read again."""
    table = random_table(graph, seed)[graph.observations_of(player)]
    stored.write(path, from_graph_policy(graph, player, table))
    return stored.read(path)


@pytest.mark.parametrize("game", GAMES)
def test_policies_play_openspiels_states(game: str, tmp_path: pathlib.Path) -> None:
    """Along random plays, every answer is the row of the node's observation."""
    graph, table = graph_of(game), random_table(graph_of(game), 0)
    play = [
        decode(stored_table(graph, player, tmp_path / "policy.npz"), DECODERS)
        for player in range(graph.num_players)
    ]
    rng, loaded = np.random.default_rng(0), load_game(game)
    for _ in range(20):
        state, node = loaded.new_initial_state(), 0
        while not state.is_terminal():
            player = state.current_player()
            if player >= 0:
                np.testing.assert_array_equal(play[player]([state], player), table[[graph.observation[node]]])
            slot = int(rng.integers(graph.num_children[node]))
            chance = state.is_chance_node()
            state.apply_action(state.chance_outcomes()[slot][0] if chance else state.legal_actions()[slot])
            node = int(graph.successor[graph.first_edge[node] + slot])


@pytest.mark.parametrize("game", ["kuhn_poker", "leduc_poker"])
def test_policies_on_graphs_of_trees_play_information_states(game: str, tmp_path: pathlib.Path) -> None:
    graph = graph_of_tree(tree_of(game))
    policy = stored_table(graph, 1, tmp_path / "policy.npz")
    assert policy.about["seen_by"] == "information states"
    state = load_game(game).new_initial_state()
    while state.current_player() != 1:
        chance = state.is_chance_node()
        state.apply_action(state.chance_outcomes()[0][0] if chance else state.legal_actions()[0])
    row = graph.keys.index(f"1|{state.information_state_string(1)}")
    np.testing.assert_array_equal(decode(policy, DECODERS)([state], 1), random_table(graph, 0)[[row]])


@pytest.mark.parametrize("game", GAMES)
def test_tables_return_to_their_graph(game: str, tmp_path: pathlib.Path) -> None:
    graph = graph_of(game)
    policy = stored_table(graph, 0, tmp_path / "policy.npz", seed=5)
    np.testing.assert_array_equal(
        table_on_graph(graph, policy), random_table(graph, 5)[graph.observations_of(0)]
    )


def test_a_table_of_another_graph_is_refused(tmp_path: pathlib.Path) -> None:
    policy = stored_table(graph_of("kuhn_poker"), 0, tmp_path / "policy.npz")
    with pytest.raises(StoredPolicyError, match=r"lacks .* observations of leduc_poker"):
        table_on_graph(graph_of("leduc_poker"), policy)


def test_states_of_another_player_are_refused(tmp_path: pathlib.Path) -> None:
    play = decode(stored_table(graph_of("kuhn_poker"), 1, tmp_path / "policy.npz"), DECODERS)
    state = load_game("kuhn_poker").new_initial_state()
    for card in (0, 1):
        state.apply_action(card)
    with pytest.raises(StoredPolicyError, match=r"does not have the observation .0\|") as caught:
        play([state], 0)
    assert "\n" not in str(caught.value)


def test_unknown_views_and_broken_tables_are_refused(tmp_path: pathlib.Path) -> None:
    policy = stored_table(graph_of("kuhn_poker"), 0, tmp_path / "policy.npz")
    about = {**policy.about, "seen_by": "smells"}
    with pytest.raises(StoredPolicyError, match="offers no smells"):
        decoders.decode_graph_table(policy._replace(about=about))
    arrays = {**policy.arrays, "table": 2 * policy.arrays["table"]}
    with pytest.raises(StoredPolicyError, match="rows that are distributions"):
        decoders.decode_graph_table(policy._replace(arrays=arrays))


def test_a_mixture_of_tables_earns_the_mean_of_its_members(tmp_path: pathlib.Path) -> None:
    """OpenSpiel plays the mixture as one policy, which weighs its members by what they would have done."""
    graph, weights = graph_of("kuhn_poker"), (np.array([0.3, 0.7]), np.array([1.0]))
    tables = [np.stack([random_table(graph, seed) for seed in seeds]) for seeds in ((0, 1), (2,))]
    files: list[list[stored.PolicyFile]] = [[], []]
    for player, members in enumerate(tables):
        for index, table in enumerate(members):
            policy = from_graph_policy(graph, player, table[graph.observations_of(player)])
            files[player].append(stored.write_file(tmp_path / f"{player}_{index}.npz", policy))
    mixture = as_openspiel.mixture_policy("kuhn_poker()", files, ProductStrategy(weights))
    state = load_game("kuhn_poker").new_initial_state()
    earned = expected_game_score.policy_value(state, [mixture, mixture])
    np.testing.assert_allclose(earned, sweeps.payoffs(graph, tables)[:, :, 0] @ weights[0], atol=1e-9)


@pytest.mark.slow
def test_phantom_tic_tac_toe(tmp_path: pathlib.Path) -> None:
    graph = compile_graph("phantom_ttt")
    play = decode(stored_table(graph, 0, tmp_path / "policy.npz"), DECODERS)
    first = pyspiel.load_game("phantom_ttt").new_initial_state()
    np.testing.assert_allclose(play([first], 0).sum(), 1.0)
