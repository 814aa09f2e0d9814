"""Response graphs by hand: edges, rates, sink components and shares."""

import numpy as np
import pytest

from acme_psro.evaluation import response_graph

# Row-major profiles: 0 = (0, 0), 1 = (0, 1), 2 = (1, 0), 3 = (1, 1).
BATTLE_OF_THE_SEXES = np.array([[[3.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 3.0]]])
PRISONERS_DILEMMA = np.array([[[5.0, 0.0], [10.0, 1.0]], [[5.0, 10.0], [0.0, 1.0]]])
WINS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def edges_of(graph: response_graph.ResponseGraph) -> set[tuple[int, int, int]]:
    return set(zip(graph.sources.tolist(), graph.targets.tolist(), graph.players.tolist(), strict=True))


def test_two_strict_equilibria_are_two_sinks() -> None:
    graph = response_graph.of_profiles(BATTLE_OF_THE_SEXES)
    assert graph.nodes.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    # Out of miscoordination, each player switches to what the other one plays.
    assert edges_of(graph) == {(1, 3, 0), (1, 0, 1), (2, 0, 0), (2, 3, 1)}
    gains = dict(zip(zip(graph.sources, graph.targets, strict=True), graph.gains, strict=True))
    assert gains == {(1, 3): 2.0, (1, 0): 2.0, (2, 0): 3.0, (2, 3): 3.0}
    # Each profile has two switches.
    np.testing.assert_allclose(graph.rates, 0.5, atol=1e-5)
    assert graph.is_sink.tolist() == [True, False, False, True]
    assert sorted(sink.tolist() for sink in graph.sinks) == [[0], [3]]
    np.testing.assert_allclose(graph.shares, [0.5, 0, 0, 0.5], atol=1e-5)


def test_one_sink_where_everybody_has_a_dominant_policy() -> None:
    graph = response_graph.of_profiles(PRISONERS_DILEMMA)
    assert [sink.tolist() for sink in graph.sinks] == [[3]]
    assert len(np.unique(graph.components)) == 4


def test_a_cycle_is_one_sink_component() -> None:
    pennies = np.array([[1.0, -1.0], [-1.0, 1.0]])
    graph = response_graph.of_profiles(np.stack([pennies, -pennies]))
    assert [sink.tolist() for sink in graph.sinks] == [[0, 1, 2, 3]]
    np.testing.assert_allclose(graph.shares, 0.25, atol=1e-9)


def test_ties_lead_both_ways_at_half_the_rate() -> None:
    graph = response_graph.of_profiles(np.zeros((2, 2, 1)))
    assert edges_of(graph) == {(0, 1, 0), (1, 0, 0)}
    np.testing.assert_allclose(graph.rates, 0.5)
    assert len(graph.sinks) == 1


def test_three_players_and_a_finite_alpha() -> None:
    payoffs = np.random.default_rng(0).standard_normal((3, 2, 3, 2))
    graph = response_graph.of_profiles(payoffs, alpha=0.1, population=20)
    tables = payoffs.reshape(3, -1)
    gained = tables[graph.players, graph.targets] - tables[graph.players, graph.sources]
    np.testing.assert_allclose(graph.gains, gained)
    # Each of the four switches is tried with the same probability.
    fixation = -np.expm1(-0.1 * gained) / -np.expm1(-2.0 * gained)
    np.testing.assert_allclose(graph.rates, fixation / 4, rtol=1e-9)


def test_policies_of_a_symmetric_game() -> None:
    graph = response_graph.of_policies(np.stack([WINS, WINS.T]))
    # Rock to paper to scissors to rock.
    assert edges_of(graph) == {(0, 1, 0), (1, 2, 0), (2, 0, 0)}
    assert [sink.tolist() for sink in graph.sinks] == [[0, 1, 2]]
    np.testing.assert_allclose(graph.shares, 1 / 3, atol=1e-9)
    with pytest.raises(ValueError, match="needs a symmetric two-player game"):
        response_graph.of_policies(BATTLE_OF_THE_SEXES)
    assert response_graph.is_symmetric(PRISONERS_DILEMMA)
