"""Kept games: how they are played and counted, and what they say about opponents who did not play them."""

import itertools

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import CHANCE, TERMINAL, GameTree
from acme_psro.oracles.device import kept_games
from acme_psro.oracles.device.kept_games import KeptGames, Outcomes, Weighed
from acme_psro.oracles.device.node_play import by_table, independent_others

SMALL = ("kuhn_poker", "kuhn_poker(players=3)", "leduc_poker")


@pytest.fixture(scope="module", params=[*SMALL, "tic_tac_toe"])
def tree(request: pytest.FixtureRequest) -> GameTree:
    return compile_game(request.param)


def _mixed(tree: GameTree, seed: int) -> np.ndarray:
    """A policy for all players that takes some actions never and others with any probability."""
    weights = np.random.default_rng(seed).random(tree.legal_actions.shape)
    weights = np.where(tree.legal_actions & (weights > 0.3), weights, 1e-300 * tree.legal_actions)
    table = weights / weights.sum(axis=1, keepdims=True)
    return np.where(table < 1e-200, 0.0, table)


def _chance_reach(tree: GameTree) -> np.ndarray:
    """`[N]`: the probability of all chance moves before each node."""
    reach = tree.probability.copy()
    for node in range(1, tree.num_nodes):
        reach[node] *= reach[tree.parent[node]]
    return reach


def _reach(tree: GameTree, table: np.ndarray) -> np.ndarray:
    """`[N]`: the probability of all players' moves before each node."""
    return np.prod(traverse.realisation_plan(tree, table)[tree.sequences], axis=1)


def _endless(tree: GameTree, *tables: np.ndarray) -> KeptGames:
    """Returns what would be kept of endlessly many games by each of the tables."""
    expected = np.sum([_reach(tree, table) for table in tables], axis=0)
    return KeptGames(_chance_reach(tree) * expected, expected)


def _best_value(tree: GameTree, player: int, outcomes: Outcomes, weighed: Weighed) -> np.ndarray:
    """`[I, A]`: values of the player's actions if it goes on as well as it can; NaN where unknown."""
    values = np.full((tree.num_infosets, tree.num_actions), np.nan)
    levels = list(itertools.pairwise(tree.level_offsets[player]))
    for start, stop in reversed(levels):
        for infoset, action in itertools.product(range(start, stop), range(tree.num_actions)):
            mine = (outcomes.infoset == infoset) & (outcomes.action == action) & (weighed.weight > 0)
            if mine.any():
                after = np.nanmax(values[outcomes.next_infoset[mine]], axis=1, initial=-np.inf)
                gain = weighed.reward[mine] + np.where(outcomes.ends[mine], 0.0, after)
                values[infoset, action] = np.average(gain, weights=weighed.weight[mine])
    return values


def test_games_end_as_often_as_they_must(tree: GameTree) -> None:
    table, num = _mixed(tree, 0), 50_000
    ends = kept_games.play(tree, by_table(tree, table), num, np.random.default_rng(1))
    assert (tree.player[ends] == TERMINAL).all()
    probability = (_chance_reach(tree) * _reach(tree, table))[tree.terminal_nodes]
    assert probability.sum() == pytest.approx(1.0)
    counts = np.bincount(ends, minlength=tree.num_nodes)[tree.terminal_nodes]
    assert not counts[probability == 0].any()
    # Six standard deviations of each of the counts, and one more game where they are small.
    assert (np.abs(counts - num * probability) <= 6 * np.sqrt(num * probability) + 1).all()


def test_games_are_counted_at_every_node_on_their_way(tree: GameTree) -> None:
    table, rng = _mixed(tree, 2), np.random.default_rng(3)
    first, second = (kept_games.play(tree, by_table(tree, table), num, rng) for num in (40, 1))
    games = kept_games.keep(tree, kept_games.no_games(tree), by_table(tree, table), first)
    games = kept_games.keep(tree, games, by_table(tree, table), second)
    visits = np.zeros(tree.num_nodes)
    for end in (*first, *second):
        path = [int(end)]
        while path[-1] != 0:
            path.append(int(tree.parent[path[-1]]))
        visits[path] += 1
    np.testing.assert_array_equal(games.visits, visits)
    np.testing.assert_allclose(games.expected, 41 * _reach(tree, table), rtol=1e-12)
    assert games.num == 41


def test_outcomes_are_the_next_decision_or_the_end(tree: GameTree) -> None:
    for player in range(tree.num_players):
        outcomes = kept_games.find_outcomes(tree, player)
        rows = tree.infosets_of(player)
        assert ((outcomes.infoset >= rows.start) & (outcomes.infoset < rows.stop)).all()
        assert tree.legal_actions[outcomes.infoset, outcomes.action].all()
        sequence = outcomes.infoset * tree.num_actions + outcomes.action
        onward = ~outcomes.ends
        np.testing.assert_array_equal(tree.parent_sequence[outcomes.next_infoset[onward]], sequence[onward])
        # Every sequence of the player has an outcome, and no outcome comes twice.
        assert len(np.unique(sequence)) == tree.legal_actions[rows].sum()
        names = {*zip(sequence.tolist(), outcomes.next_infoset.tolist(), outcomes.ends.tolist(), strict=True)}
        assert len(names) == len(sequence)
        for node, outcome in zip(outcomes.nodes[::37], outcomes.of_node[::37], strict=True):
            assert (tree.player[node] == TERMINAL) == outcomes.ends[outcome]
            assert tree.sequences[node, player] == sequence[outcome]


def test_rewards_add_up_to_returns(tree: GameTree) -> None:
    """All games here pay at the end only, so the outcomes before it pay nothing."""
    outcomes = kept_games.find_outcomes(tree, 1)
    over = tree.player[outcomes.nodes] == TERMINAL
    np.testing.assert_array_equal(outcomes.reward[over], tree.reward[outcomes.nodes[over], 1])
    assert not outcomes.reward[~over].any()


@pytest.mark.parametrize("tree", SMALL, indirect=True)
@pytest.mark.parametrize("played_by", [1, 2])
def test_games_of_anybody_tell_how_to_respond_to_anybody(tree: GameTree, played_by: int) -> None:
    """From endlessly many games the exact best response follows, whoever played them and tried everything."""
    players = [tree.uniform_policy(), 0.5 * _mixed(tree, 4) + 0.5 * tree.uniform_policy()][:played_by]
    opponents = 0.9 * _mixed(tree, 5) + 0.1 * tree.uniform_policy()
    plan = traverse.realisation_plan(tree, opponents)
    for player in range(tree.num_players):
        outcomes = kept_games.find_outcomes(tree, player)
        weighed = kept_games.weigh(
            tree, outcomes, _endless(tree, *players), independent_others(tree, plan, player), player
        )
        values = _best_value(tree, player, outcomes, weighed)
        rows = tree.infosets_of(player)
        table = opponents.copy()
        table[rows] = np.eye(tree.num_actions)[np.nanargmax(values[rows], axis=1)]
        value = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))[player]
        assert value == pytest.approx(traverse.best_response(tree, plan, player).value, abs=1e-9)


def _worth(outcomes: Outcomes, weight: np.ndarray, reward: np.ndarray, num_actions: int) -> np.ndarray:
    """`[M]`: the mean reward of each outcome's decision."""
    sequence = outcomes.infoset * num_actions + outcomes.action
    total = np.bincount(sequence, weight)
    return (np.bincount(sequence, weight * reward) / np.where(total > 0, total, 1.0))[sequence]


@pytest.mark.parametrize("tree", SMALL, indirect=True)
def test_without_the_mixtures_value_decisions_are_worth_what_they_gain(tree: GameTree) -> None:
    """At once, for one who plays the mixture afterwards; the best response to go on with stays the same."""
    uniform = tree.uniform_policy()
    table = 0.8 * _mixed(tree, 9) + 0.2 * uniform
    plan = traverse.realisation_plan(tree, table)
    own_value = traverse.expected_returns(tree, plan)
    for player in range(tree.num_players):
        outcomes = kept_games.find_outcomes(tree, player)
        weighed = kept_games.weigh(
            tree, outcomes, _endless(tree, uniform), independent_others(tree, plan, player), player
        )
        reward = kept_games.subtract_mixture(tree, outcomes, weighed, table, player)
        gain = _worth(outcomes, weighed.weight, reward, tree.num_actions)
        # What a mixture gains over itself is nothing, at every information state.
        first = np.unique(outcomes.infoset * tree.num_actions + outcomes.action, return_index=True)[1]
        advantage = np.zeros(tree.legal_actions.shape)
        advantage[outcomes.infoset[first], outcomes.action[first]] = gain[first]
        np.testing.assert_allclose((table * advantage).sum(axis=1), 0.0, atol=1e-9)
        # Changing the first decision alone gains its advantage.
        start, stop = tree.level_offsets[player][:2]
        changed = table.copy()
        changed[start:stop] = np.eye(tree.num_actions)[
            np.where(tree.legal_actions, advantage, -1e9)[start:stop].argmax(axis=1)
        ]
        gained = traverse.expected_returns(tree, traverse.realisation_plan(tree, changed)) - own_value
        assert gained[player] > 1e-3
        shaped, raw = (
            _best_value(tree, player, outcomes, weighed._replace(reward=each))
            for each in (reward, weighed.reward)
        )
        rows = tree.infosets_of(player)
        best, other = np.nanmax(shaped[rows], axis=1), np.nanargmax(raw[rows], axis=1)
        np.testing.assert_allclose(shaped[rows][np.arange(len(best)), other], best, atol=1e-9)


def test_what_was_never_seen_is_worth_nothing_known() -> None:
    """If the mixture's own actions were not seen, nothing is subtracted, and nothing becomes infinite."""
    tree = compile_game("kuhn_poker", cache=False)
    bets = np.tile([0.0, 1.0], (tree.num_infosets, 1))
    ends = kept_games.play(tree, by_table(tree, bets), 50, np.random.default_rng(0))
    games = kept_games.keep(tree, kept_games.no_games(tree), by_table(tree, bets), ends)
    outcomes, plan = kept_games.find_outcomes(tree, 0), traverse.realisation_plan(tree, tree.uniform_policy())
    weighed = kept_games.weigh(tree, outcomes, games, independent_others(tree, plan, 0), 0)
    reward = kept_games.subtract_mixture(tree, outcomes, weighed, 1.0 - bets, 0)
    assert np.isfinite(reward).all()
    np.testing.assert_array_equal(reward, weighed.reward)


def test_weights_have_mean_one_and_leave_out_what_was_never_seen(tree: GameTree) -> None:
    table = tree.uniform_policy()
    ends = kept_games.play(tree, by_table(tree, table), 20, np.random.default_rng(6))
    games = kept_games.keep(tree, kept_games.no_games(tree), by_table(tree, table), ends)
    outcomes = kept_games.find_outcomes(tree, 0)
    weighed = kept_games.weigh(
        tree, outcomes, games, independent_others(tree, traverse.realisation_plan(tree, table), 0), 0
    )
    assert weighed.weight.mean() == pytest.approx(1.0)
    seen = np.bincount(outcomes.of_node, games.visits[outcomes.nodes], len(outcomes.infoset)) > 0
    np.testing.assert_array_equal(weighed.weight > 0, seen)
    # Games against these opponents themselves, by one who tries everything evenly, count in full.
    assert weighed.effective == pytest.approx(games.visits[outcomes.nodes].sum())


def test_games_against_others_count_less(tree: GameTree) -> None:
    uniform = tree.uniform_policy()
    plan = traverse.realisation_plan(tree, 0.9 * _mixed(tree, 7) + 0.1 * uniform)
    outcomes, games = kept_games.find_outcomes(tree, 0), _endless(tree, uniform)
    weighed = kept_games.weigh(tree, outcomes, games, independent_others(tree, plan, 0), 0)
    assert 0 < weighed.effective < 0.95 * games.visits[outcomes.nodes].sum()


def test_chance_is_no_players_move() -> None:
    """In a game that begins with chance, the root's children are expected in every game."""
    tree = compile_game("kuhn_poker", cache=False)
    assert tree.player[0] == CHANCE
    games = _endless(tree, tree.uniform_policy())
    np.testing.assert_array_equal(games.expected[1 : 1 + tree.num_children[0]], 1.0)


def test_batches_are_drawn_evenly_by_weight() -> None:
    weight = np.array([0.0, 5.0, 0.0, 1.0, 0.5, 3.5, 0.0])
    drawn = kept_games.draw(weight, 300, 100, np.random.default_rng(8))
    assert drawn.shape == (300, 100)
    counts = np.stack([np.bincount(batch, minlength=len(weight)) for batch in drawn])
    # Every single batch has its share of each, to within two.
    assert (np.abs(counts - 10 * weight) < 2).all()
    np.testing.assert_allclose(counts.mean(axis=0), 10 * weight, atol=0.2)
    assert not counts[:, weight == 0].any()
