"""Tests of self_play.tabular: an update by hand, equilibria of known games, and bad input."""

import math

import numpy as np
import pytest

from acme_psro.evaluation.exact import Evaluation
from acme_psro.games.compile import compile_game
from acme_psro.games.graph import graph_of_tree
from acme_psro.self_play import tabular
from acme_psro.self_play.tabular import TabularConfig
from acme_psro.self_play_runs.games import evaluate


def _train(game: str, config: TabularConfig, updates: int) -> Evaluation:
    tree = compile_game(game, cache=False)
    graph = graph_of_tree(tree)
    state = tabular.init(graph)
    for _ in range(updates):
        state, _ = tabular.update(graph, config, state)
    return evaluate(tree, tabular.policy(graph, state))


def test_an_update_by_hand() -> None:
    # The row player of matching pennies, who starts at (0.6, 0.4) against (0.7, 0.3) with a uniform magnet.
    graph = graph_of_tree(compile_game("matrix_mp", cache=False))
    before = np.array([[0.6, 0.4], [0.7, 0.3]])
    uniform = np.log(np.full((2, 2), 0.5))
    config = TabularConfig(learning_rate=0.5, temperature=0.1, magnet_period=0)
    after, terms = tabular.update(graph, config, tabular.TabularState(np.log(before), uniform, 7))
    values = np.array([[0.4, -0.4], [-0.2, 0.2]])
    weights = (before * np.exp(0.5 * values) * 0.5**0.05) ** (1 / 1.05)
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tabular.policy(graph, after), expected, atol=1e-12)
    assert after.updates == 8
    np.testing.assert_array_equal(after.magnet, uniform)
    assert terms.entropy == pytest.approx(-(before * np.log(before)).sum() / 2)
    assert terms.kl == pytest.approx((expected * np.log(expected / before)).sum() / 2)


def test_learning_rate_and_temperature_fall_with_the_square_root() -> None:
    graph = graph_of_tree(compile_game("matrix_mp", cache=False))
    start = tabular.TabularState(np.log([[0.6, 0.4], [0.7, 0.3]]), np.log(np.full((2, 2), 0.5)), 3)
    falling = TabularConfig(0.5, 0.1, 0, annealing="sqrt")
    one, other = (tabular.update(graph, each, start)[0] for each in (falling, TabularConfig(0.25, 0.05, 0)))
    np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-12)


def test_the_policy_becomes_the_magnet_when_it_is_time() -> None:
    graph = graph_of_tree(compile_game("kuhn_poker", cache=False))
    state = tabular.init(graph)
    magnets = []
    for _ in range(5):
        state, _ = tabular.update(graph, TabularConfig(magnet_period=2), state)
        magnets.append((state.magnet == state.log_probs).all())
    assert magnets == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("game", "value", "updates", "enough"),
    [
        ("matrix_mp", 0.0, 300, 1e-6),
        ("kuhn_poker", -1 / 18, 1500, 1e-4),
        ("goofspiel(imp_info=True,num_cards=3,points_order=descending)", 0.0, 300, 1e-3),
    ],
)
def test_it_comes_to_known_equilibria(game: str, value: float, updates: int, enough: float) -> None:
    found = _train(game, TabularConfig(), updates)
    assert found.exploitability < enough
    assert found.expected_returns[0] == pytest.approx(value, abs=enough)


def test_a_fixed_magnet_stops_at_the_regularised_equilibrium_and_a_falling_temperature_does_not() -> None:
    fixed = TabularConfig(1.0, 1.0, magnet_period=0)
    falling = TabularConfig(1.0, 1.0, magnet_period=0, annealing="sqrt")
    assert _train("kuhn_poker", fixed, 400).exploitability > 0.15
    assert _train("kuhn_poker", falling, 400).exploitability < 0.04


def test_probabilities_are_exactly_zero_on_illegal_actions_and_finite_when_values_are_large() -> None:
    graph = graph_of_tree(compile_game("tiny_bridge_2p", cache=False))
    state = tabular.init(graph)
    for _ in range(5):
        state, terms = tabular.update(graph, TabularConfig(1e6, 1e-6), state)
    policy = tabular.policy(graph, state)
    assert (policy[~graph.legal_actions] == 0).all()
    np.testing.assert_allclose(policy.sum(axis=1), 1.0, atol=1e-12)
    assert math.isfinite(terms.entropy) and math.isfinite(terms.kl)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0, not nan"),
        ({"temperature": -1.0}, "temperature must be above 0, not -1.0"),
        ({"magnet_period": -1}, "magnet_period must be 0 or more, not -1"),
        ({"annealing": "log"}, "annealing must be one of none, sqrt, not 'log'"),
    ],
)
def test_bad_settings_are_one_line(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TabularConfig(**settings)  # type: ignore[arg-type]
