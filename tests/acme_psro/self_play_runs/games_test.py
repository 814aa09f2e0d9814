"""Games of self-play runs: exact figures, and policies as files."""

import pathlib

import numpy as np
import pytest
from open_spiel.python.algorithms import exploitability

from acme_psro.evaluation import beliefs
from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph
from acme_psro.games.loading import GameError, load_game
from acme_psro.policies import decoders, stored
from acme_psro.self_play_runs import games


def test_uniform_play_has_its_known_exploitability() -> None:
    tree = compile_game("kuhn_poker")
    figures = games.evaluate(tree, tree.uniform_policy())
    assert figures.nash_conv == pytest.approx(0.916667, abs=1e-6)
    assert figures.exploitability == figures.nash_conv / 2
    assert exploitability.nash_conv(load_game("kuhn_poker"), _uniform()) == pytest.approx(figures.nash_conv)


def _uniform() -> object:
    from open_spiel.python import policy

    return policy.UniformRandomPolicy(load_game("kuhn_poker"))


def test_probabilities_become_rows_that_sum_to_one() -> None:
    table = games.as_table(np.array([[0.1, 0.9000001], [1.0, 0.0]], np.float32))
    assert table.dtype == np.float64
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-15)


def test_policies_are_read_back_as_they_were_written(tmp_path: pathlib.Path) -> None:
    tree = compile_game("kuhn_poker")
    weights = tree.legal_actions * np.arange(1, 1 + tree.num_actions)
    table = games.as_table(weights)
    games.write_policies(tree, table, tmp_path)
    for player in range(2):
        policy = stored.read(games.policy_file(tmp_path, player))
        np.testing.assert_array_equal(decoders.table_on_tree(tree, policy), table[tree.rows_of(player)])


def test_a_small_game_is_compiled_as_a_tree() -> None:
    notes: list[str] = []
    tree = games.compile_any("kuhn_poker", 1000, notes.append)
    assert tree.digest == compile_game("kuhn_poker").digest
    assert notes == ["kuhn_poker() as a tree: 58 nodes"]


def test_a_larger_game_is_compiled_as_a_graph_with_the_same_figures(tmp_path: pathlib.Path) -> None:
    """Kuhn poker has 58 histories, but only 29 states."""
    notes: list[str] = []
    graph = games.compile_any("kuhn_poker", 40, notes.append)
    assert isinstance(graph, GameGraph)
    assert notes[0] == "kuhn_poker() as a graph of merged states: 29 nodes"
    assert notes[1].startswith("players of kuhn_poker() see")
    figures = games.evaluate(graph, graph.uniform_policy())
    assert figures.nash_conv == pytest.approx(0.916667, abs=1e-6)
    games.write_policies(graph, graph.uniform_policy(), tmp_path)
    policy = stored.read(games.policy_file(tmp_path, 1))
    np.testing.assert_array_equal(decoders.table_on_graph(graph, policy), 0.5)


def test_three_players_have_the_same_figures_on_a_graph_as_on_the_tree() -> None:
    graph = games.compile_any("kuhn_poker(players=3)", 600, print)
    assert isinstance(graph, GameGraph)
    tree = compile_game("kuhn_poker(players=3)")
    expected = games.evaluate(tree, tree.uniform_policy())
    found = games.evaluate(graph, graph.uniform_policy())
    np.testing.assert_allclose(found.per_player_gain, expected.per_player_gain, atol=1e-9)
    np.testing.assert_allclose(found.expected_returns, expected.expected_returns, atol=1e-9)


def test_a_search_that_needs_too_much_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **known: object) -> None:
        raise ValueError("too large")

    monkeypatch.setattr(beliefs, "gains", refuse)
    graph = games.compile_any("kuhn_poker", 40, print)
    with pytest.raises(games.EvaluationError, match="cannot be evaluated exactly: too large"):
        games.evaluate(graph, graph.uniform_policy())


def test_an_unknown_game_is_refused() -> None:
    with pytest.raises(GameError, match="kuhn_pokr"):
        games.compile_any("kuhn_pokr", 1000, print)
