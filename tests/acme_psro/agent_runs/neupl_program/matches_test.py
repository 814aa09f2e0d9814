"""Tests of training games: pairs by the graph, constant from the deal to the end."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program.matches import Matches, draw_pairs, tremble_share
from acme_psro.agent_runs.neupl_program.members import Members
from acme_psro.environments.wrappers import NonFiniteError
from acme_psro.games import playing, traverse
from acme_psro.games.tree import GameTree
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.policies.tabular import combine, make_policy

CONFIG = NeuPLConfig(population_size=4, trembles=0.0)


@pytest.fixture
def members(probs: Callable[..., Any], graph: np.ndarray) -> Members:
    return Members("kuhn_poker", probs, lambda: "newest", graph)


def uniform_actions(seen: Any, rng: np.random.Generator) -> np.ndarray:
    legal = np.asarray(seen.legal_actions, np.float64)
    return playing.draw_each(rng, legal / legal.sum(axis=1, keepdims=True))


def test_pairs_are_drawn_as_the_graph_says(graph: np.ndarray) -> None:
    share = np.array([0, 0.5, 0, 0.5])
    pairs = draw_pairs(np.random.default_rng(0), graph[0], share, 0.0, 20_000)
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(pairs.T), 1)
    assert np.abs(counts / 20_000 - share[:, None] * graph[0]).max() < 0.01
    assert (counts[share[:, None] * graph[0] == 0] == 0).all()


def test_trembles_draw_every_opponent(graph: np.ndarray) -> None:
    share = np.array([0, 1.0, 0, 0])
    pairs = draw_pairs(np.random.default_rng(0), graph[0], share, 0.4, 20_000)
    found = np.bincount(pairs[:, 1], minlength=4) / 20_000
    np.testing.assert_allclose(found, [0.7, 0.1, 0.1, 0.1], atol=0.01)


def test_fewer_trembles_have_the_weight_of_many_light_ones() -> None:
    config = NeuPLConfig(trembles=0.2, tremble_weight=0.1)
    share = tremble_share(config)
    assert share / (1 - share) == pytest.approx(0.2 * 0.1 / 0.8)
    assert tremble_share(NeuPLConfig(trembles=0.0)) == 0
    assert tremble_share(NeuPLConfig(trembles=1.0)) == 1
    assert tremble_share(NeuPLConfig(trembles=1.0, tremble_weight=0.0)) == 0


def test_the_pair_and_the_rows_are_constant_from_deal_to_end(members: Members, graph: np.ndarray) -> None:
    games = Matches("kuhn_poker", 10, members, CONFIG, seed=0)
    rng = np.random.default_rng(0)
    seen, pairs = games.reset(), games.pairs
    graphs = np.stack([graph, graph[:, [0, 1, 1, 2]]])
    changed = 0
    for step in range(400):
        if step % 7 == 0:
            games.offer(graphs[step // 7 % 2])
        contexts = np.asarray(seen.context)
        steps = games.step(uniform_actions(seen, rng))
        runs_on = ~steps.last
        np.testing.assert_array_equal(games.pairs[runs_on], pairs[runs_on])
        np.testing.assert_array_equal(np.asarray(steps.observation.context)[runs_on], contexts[runs_on])
        changed += int((games.pairs[~runs_on] != pairs[~runs_on]).any(axis=1).sum())
        seen, pairs = steps.observation, games.pairs
    assert changed > 200


def test_contexts_are_those_of_the_player_who_learns(members: Members, graph: np.ndarray) -> None:
    games = Matches("kuhn_poker", 5, members, CONFIG, seed=3)
    context = np.asarray(games.reset().context)
    np.testing.assert_array_equal(context[:, -1], [0, 0, 0, 1, 1])
    for game, (row, player) in enumerate(zip(context[:, :-1], [0, 0, 0, 1, 1], strict=True)):
        np.testing.assert_allclose(row, graph[player, games.pairs[game, player]])
    # The sink never learns.
    assert (games.pairs[[0, 1, 2], 0] > 0).all() and (games.pairs[[3, 4], 1] > 0).all()
    assert games.nothing.context.shape == (5,)


def test_new_games_use_a_new_graph_as_soon_as_there_is_room(members: Members, graph: np.ndarray) -> None:
    games = Matches("kuhn_poker", 6, members, CONFIG, seed=1)
    rng = np.random.default_rng(1)
    seen = games.reset()
    second, third = graph[:, [0, 1, 1, 1]], graph[:, [0, 1, 2, 2]]
    games.offer(second)
    seen = games.step(uniform_actions(seen, rng)).observation
    np.testing.assert_array_equal(members.graph, second)
    games.offer(third)
    for _ in range(30):
        seen = games.step(uniform_actions(seen, rng)).observation
    np.testing.assert_array_equal(members.graph, third)


def test_opponents_play_as_the_members_that_were_drawn(
    members: Members, graph: np.ndarray, tree: GameTree, tables: np.ndarray
) -> None:
    """A player that acts uniformly earns what it does against the mixtures of the rows."""
    ended: list[int] = []
    games = Matches("kuhn_poker", 200, members, CONFIG, 5, ended.append)
    rng = np.random.default_rng(5)
    seen, account, earned = games.reset(), np.zeros(200), []
    for _ in range(120):
        steps = games.step(uniform_actions(seen, rng))
        account += steps.reward
        earned.append(np.where(steps.last, account, np.nan))
        account[steps.last] = 0
        seen = steps.observation
    whole = np.array(earned)
    assert sum(ended) == np.isfinite(whole).sum()
    for player, part in enumerate((whole[:, :100], whole[:, 100:])):
        policies = [[make_policy(tree, p, table[tree.infosets_of(p)]) for table in tables] for p in range(2)]
        values = []
        for other in policies[1 - player]:
            both = (
                [policies[player][0].plan, other.plan]
                if player == 0
                else [other.plan, policies[player][0].plan]
            )
            values.append(traverse.expected_returns(tree, combine(tree, both))[player])
        expected = np.mean(graph[player, 1:] @ np.array(values))
        count = np.isfinite(part).sum()
        assert abs(np.nanmean(part) - expected) < 4 * np.nanstd(part) / np.sqrt(count)


def test_games_stop_at_what_is_no_number(members: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    games = Matches("kuhn_poker", 4, members, CONFIG, seed=0)
    seen, rng = games.reset(), np.random.default_rng(0)
    side = games._sides[1]
    pay = side._pay
    monkeypatch.setattr(side, "_pay", lambda index: pay(index) * np.float32(np.nan))
    with pytest.raises(NonFiniteError, match="openspiel:kuhn_poker: reward is NaN or infinite"):
        for _ in range(5):
            seen = games.step(uniform_actions(seen, rng)).observation
