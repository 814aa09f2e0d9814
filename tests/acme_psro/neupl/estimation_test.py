"""Payoffs that are learned on the device from games between members, against exact ones."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.device_arrays import GameArrays, make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl import estimation
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_populations
from acme_psro.neupl.playing import make_tables, play_pairs

CONFIG = NeuPLConfig(population_size=3, num_envs=256, estimator_updates=50)
# Rows of the members; only the sink's is 0.
GRAPH = np.array([[[0, 0, 0], [1, 0, 0], [0.5, 0.5, 0]], [[0, 0, 0], [1, 0, 0], [0.2, 0.8, 0]]], np.float32)

PureTable = Callable[[GameTree, int], np.ndarray]


def make_members(tree: GameTree, pure_table: PureTable) -> np.ndarray:
    """Returns policies `[3, I, A]`: a uniform one, and two that are pure."""
    return np.stack([tree.uniform_policy(), pure_table(tree, 1), pure_table(tree, 2)])


def opposing_of(tree: GameTree, members: np.ndarray) -> tuple[GameArrays, jax.Array]:
    game, probs = make_arrays(tree), jnp.asarray(members, jnp.float32)
    return game, make_tables(game, probs, probs).opposing


@pytest.mark.games("kuhn", "leduc")
def test_games_of_pairs_are_those_of_their_policies(case: Any, pure_table: PureTable) -> None:
    """Mean returns of each pair are its exact payoffs, up to four standard errors."""
    members = make_members(case.tree, pure_table)
    exact = exact_payoffs(case.tree, make_populations(case.tree, members))[0]
    num = 18_000
    pairs, outcome = map(np.asarray, play_pairs(*opposing_of(case.tree, members), jax.random.key(0), num))
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(pairs.T), 1)
    assert np.abs(counts / num - 1 / 9).max() < 4 * np.sqrt(8 / 81 / num)
    for first in range(3):
        for second in range(3):
            own = outcome[(pairs == (first, second)).all(axis=1)]
            assert abs(own.mean() - exact[first, second]) < 4 * own.std() / np.sqrt(len(own)) + 1e-6
    assert np.abs(exact).max() > 0.3


@pytest.mark.games("kuhn")
def test_estimates_converge_to_exact_payoffs(case: Any, pure_table: PureTable) -> None:
    members = make_members(case.tree, pure_table)
    exact = exact_payoffs(case.tree, make_populations(case.tree, members))
    parts = estimation.make_estimating(CONFIG, case.tree.utility_scale, is_symmetric=False)
    game, opposing = opposing_of(case.tree, members)
    graph = jnp.asarray(GRAPH)
    learn = jax.jit(lambda known, key: estimation.learn(parts, game, known, opposing, graph, key))
    known = estimation.init(parts, jax.random.key(1))
    errors = [np.abs(estimation.payoffs_of(parts, known, graph) - exact).mean()]
    for key in jax.random.split(jax.random.key(2), 40):
        known = learn(known, key)
        errors.append(np.abs(estimation.payoffs_of(parts, known, graph) - exact).mean())
    # 40 rounds of 219 games are 973 for each of 9 pairs, whose returns have a standard deviation of about 1.4
    # chips: an error of 0.045 in each payoff, and less on average.
    assert errors[0] == pytest.approx(np.abs(exact).mean())
    assert errors[0] > 0.2
    assert errors[-1] < 0.045
    assert int(known.games.held) == 40 * parts.num_games
    # Members with the same row have the same payoffs, whatever their policies are, but for the last bit: rows
    # of a matrix product may be summed up in different orders.
    found = estimation.payoffs_of(parts, known, jnp.asarray(GRAPH[:, [0, 1, 1]]))
    np.testing.assert_allclose(found[:, 2], found[:, 1], rtol=1e-6)


def test_shares_of_games_and_the_store_are_whole_rounds() -> None:
    parts = estimation.make_estimating(CONFIG, 2.0, is_symmetric=True)
    # 0.3 of all games: 512 are learned from.
    assert parts.num_games == round(512 * 3 / 7)
    assert parts.stored_games % parts.num_games == 0
    assert 20_000 - parts.num_games < parts.stored_games <= 20_000
    few = dataclasses.replace(CONFIG, stored_outcomes=1, evaluation=1e-6)
    parts = estimation.make_estimating(few, 2.0, is_symmetric=True)
    assert (parts.num_games, parts.stored_games) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"payoffs": "sampled"}, "payoffs must be one of exact, estimated, not sampled"),
        ({"evaluation": 0.0}, "evaluation must lie between 0 and 1, not 0.0"),
        ({"evaluation": 1.0}, "evaluation must lie between 0 and 1, not 1.0"),
        ({"stored_outcomes": 0}, "stored_outcomes must be at least 1"),
        ({"estimator_updates": 0}, "estimator_updates must be at least 1"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)
