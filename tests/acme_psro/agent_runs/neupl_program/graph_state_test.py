"""Tests of the graph node's state: outcomes in, graphs out, and back from arrays."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import graph_state
from acme_psro.agent_runs.neupl_program.graph_state import GraphState
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.interaction_graph import check_graph, make_graph
from acme_psro.neupl.payoff_estimator import Estimator, EstimatorConfig, Outcomes, make_estimator

CONFIG = NeuPLConfig(population_size=4)


@pytest.fixture
def estimator() -> Estimator:
    made = make_estimator(4, EstimatorConfig(hidden_sizes=(8,), batch_size=16), updates=5)
    return made._replace(fit=jax.jit(made.fit))


@pytest.fixture
def state(estimator: Estimator) -> GraphState:
    return graph_state.start(estimator, CONFIG, stored=10, epoch_steps=100, seed=3)


def games(*outcomes: float) -> Outcomes:
    """Returns games whose rows can be told from their outcomes."""
    values = np.array(outcomes, np.float32)
    rows = np.stack([values, 1 - values, 0 * values, 0 * values], axis=1)
    return Outcomes(rows, 2 * rows, values)


def assert_same(one: GraphState, other: GraphState) -> None:
    for name, value in graph_state.to_arrays(one).items():
        if name not in ("place", "store_first", "store_second", "store_outcome"):
            np.testing.assert_array_equal(value, graph_state.to_arrays(other)[name])


def outcomes_of(state: GraphState) -> list[float]:
    return sorted(np.round(state.store.outcome[: state.filled], 6).tolist())


def test_the_first_graph_is_that_of_equal_payoffs(state: GraphState) -> None:
    check_graph(state.graph)
    np.testing.assert_allclose(state.graph[0, 3], [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-4)
    assert (state.epoch, state.due, state.filled, state.received) == (0, 100.0, 0, 0)


def test_the_newest_outcomes_are_kept(state: GraphState) -> None:
    state = graph_state.receive(state, games(1, 2, 3, 4, 5, 6))
    assert outcomes_of(state) == [1, 2, 3, 4, 5, 6]
    state = graph_state.receive(state, games(7, 8, 9, 10, 11, 12))
    assert outcomes_of(state) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert (state.received, state.waiting, state.filled) == (12, 12, 10)
    state = graph_state.receive(state, games(*range(20, 35)))
    assert outcomes_of(state) == list(range(25, 35))
    assert (state.received, state.filled) == (27, 10)
    np.testing.assert_array_equal(state.store.first[:, 0], state.store.outcome)
    np.testing.assert_array_equal(state.store.second, 2 * state.store.first)


def test_the_estimator_learns_from_what_is_stored(state: GraphState, estimator: Estimator) -> None:
    with pytest.raises(ValueError, match="there are none yet"):
        graph_state.estimate(state, estimator)
    state = graph_state.receive(state, games(0.5, 0.5))
    errors = []
    for _ in range(60):
        state, error = graph_state.estimate(state, estimator)
        errors.append(error)
    assert errors[0] > 0.2 > 0.01 > errors[-1]
    assert state.estimator.step == 300


def test_no_more_than_a_store_of_outcomes_waits(state: GraphState) -> None:
    state = graph_state.receive(state, games(1, 2, 3, 4))
    assert graph_state.settle(state, 1.5).waiting == 2.5
    assert graph_state.settle(dataclasses.replace(state, waiting=1000.0), 1.5).waiting == 10.0


def test_a_new_graph_follows_from_payoffs(state: GraphState) -> None:
    payoffs = np.zeros((2, 4, 4))
    payoffs[0, 1], payoffs[1, 1] = 1.0, -1.0
    after = graph_state.advance(state, payoffs, CONFIG, gradient_steps=130.0, epoch_steps=100)
    np.testing.assert_array_equal(after.graph, make_graph("psro_nash", payoffs, CONFIG.row_tolerance))
    assert (after.epoch, after.due) == (1, 230.0)
    # Player 0's member 1 dominates, so that player 1's members learn to exploit it.
    np.testing.assert_allclose(after.graph[1, 3], [0, 1, 0, 0], atol=1e-4)


@pytest.mark.parametrize("num", [0, 4, 10, 13])
def test_a_state_goes_on_from_arrays(num: int, state: GraphState, estimator: Estimator) -> None:
    state = graph_state.receive(state, games(*range(1, num + 1)))
    if num:
        state, _ = graph_state.estimate(state, estimator)
    restored = graph_state.from_arrays(graph_state.to_arrays(state), estimator, 10)
    assert_same(restored, state)
    assert outcomes_of(restored) == outcomes_of(state)
    more = games(101, 102, 103)
    assert outcomes_of(graph_state.receive(restored, more)) == outcomes_of(graph_state.receive(state, more))


def test_a_smaller_store_drops_the_oldest_outcomes(state: GraphState, estimator: Estimator) -> None:
    arrays = graph_state.to_arrays(graph_state.receive(state, games(*range(1, 13))))
    assert outcomes_of(graph_state.from_arrays(arrays, estimator, 4)) == [9, 10, 11, 12]
    larger = graph_state.from_arrays(arrays, estimator, 20)
    assert (outcomes_of(larger), larger.filled, larger.received) == (list(range(3, 13)), 10, 12)


def test_arrays_of_another_population_are_refused(state: GraphState) -> None:
    arrays: Any = graph_state.to_arrays(state)
    with pytest.raises(ValueError, match="of another network or population"):
        graph_state.from_arrays(arrays, make_estimator(5), 10)
