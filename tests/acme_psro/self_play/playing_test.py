"""Games of one network against itself: decisions, rewards and ends, on trees and on graphs."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.self_play.board import Board, make_board
from acme_psro.self_play.moves import start
from acme_psro.self_play.playing import play
from agents.self_play import Rollout, SelfPlayConfig, SelfPlayCore, make_core, make_networks

pytestmark = pytest.mark.usefixtures("quick_module")


class Played(NamedTuple):
    """Games that were played, and the parts that played them."""

    board: Board
    core: SelfPlayCore
    params: object
    rollout: Rollout
    episodes: int


def _play(game: GameTree | GameGraph, num_games: int, num_decisions: int) -> Played:
    board = make_board(game)
    config = SelfPlayConfig(hidden_sizes=(8,))
    example = jax.tree.map(lambda leaf: leaf[:1], board.observation)
    core = make_core(make_networks(example, board.num_actions, config), config)
    state = core.init(jax.random.key(0))

    def play_all(params: object, start_key: jax.Array, key: jax.Array) -> tuple[Rollout, jax.Array]:
        games = start(board, start_key, num_games)
        return play(board, core, params, games, key, num_decisions)[1:]

    rollout, episodes = jax.jit(play_all)(state.params, jax.random.key(1), jax.random.key(2))
    return Played(board, core, state.params, rollout, int(episodes))


@functools.cache
def _kuhn() -> Played:
    return _play(compile_game("kuhn_poker"), 500, 30)


def test_every_row_is_a_legal_decision_of_its_player() -> None:
    board, _, _, rollout, episodes = _kuhn()
    legal = board.observation.legal_actions[rollout.row]
    assert jnp.take_along_axis(legal, rollout.action[..., None], axis=2).all()
    np.testing.assert_array_equal(board.observation.context[rollout.row].argmax(axis=2), rollout.player)
    assert int(rollout.ended.sum()) == episodes


def test_a_new_game_begins_with_the_first_player() -> None:
    rollout = _kuhn().rollout
    np.testing.assert_array_equal(rollout.player[1:][rollout.ended[:-1]], 0)
    np.testing.assert_array_equal(rollout.player[0], 0)


def test_mean_return_equals_the_exact_one() -> None:
    """The first policy is not quite uniform, so its own table is evaluated."""
    board, core, params, rollout, episodes = _kuhn()
    tree = compile_game("kuhn_poker")
    table = np.exp(np.asarray(core.evaluate(params, board.observation).log_probs, np.float64))
    table = np.where(tree.legal_actions, table, 0.0)
    table /= table.sum(axis=1, keepdims=True)
    exact = traverse.expected_returns(tree, traverse.realisation_plan(tree, table))
    # Of the games in progress at the end, too few are counted to matter.
    mean = np.asarray(rollout.reward.sum(axis=(0, 1))) * tree.utility_scale / episodes
    # The standard deviation of a return is below 1.5, and about 6,000 games end.
    np.testing.assert_allclose(mean, exact, atol=4 * 1.5 / np.sqrt(episodes))


def test_rewards_are_divided_by_the_largest_return() -> None:
    rewards = np.abs(_kuhn().rollout.reward)
    assert rewards.max() == 1.0


def test_a_tree_plays_like_its_graph() -> None:
    tree = compile_game("leduc_poker")
    on_tree, on_graph = (_play(game, 40, 20).rollout for game in (tree, graph_of_tree(tree)))
    for name in ("row", "player", "action", "reward", "ended"):
        np.testing.assert_array_equal(getattr(on_tree, name), getattr(on_graph, name))


def test_few_decisions_are_looked_up_one_by_one() -> None:
    """Leduc has more information states than these games have decisions."""
    board, core, params, rollout, _ = _play(compile_game("leduc_poker"), 8, 6)
    assert board.num_observations > rollout.row.size
    table = core.evaluate(params, board.observation)
    np.testing.assert_allclose(rollout.log_probs, table.log_probs[rollout.row], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rollout.value, table.value[rollout.row], rtol=1e-4, atol=1e-5)


def _walking_in_a_circle() -> GameGraph:
    """Returns a game in which both players move in turn for ever, each paying the other 1 for action 0."""
    return GameGraph(
        game_string="circle",
        num_players=2,
        player=np.array([0, 1], np.int8),
        observation=np.array([0, 1], np.int32),
        first_edge=np.array([0, 2], np.int32),
        num_children=np.array([2, 2], np.int32),
        successor=np.array([1, 1, 0, 0], np.int32),
        probability=np.ones(4),
        reward=np.array([[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0], [0.0, 0.0]]),
        legal_actions=np.ones((2, 2), bool),
        info_state=np.eye(2, dtype=np.float32),
        keys=("first", "second"),
        observation_offsets=np.array([0, 1, 2]),
        max_moves=5,
        is_cyclic=True,
    )


def test_a_cyclic_game_ends_at_its_horizon() -> None:
    rollout = _play(_walking_in_a_circle(), 3, 12).rollout
    expected = [turn % 5 == 4 for turn in range(12)]
    np.testing.assert_array_equal(rollout.ended, np.array([expected] * 3).T)
    np.testing.assert_array_equal(rollout.player[:, 0], [0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1])
    paid = np.where(rollout.action == 0, np.where(rollout.player == 0, -1, 1), 0)
    np.testing.assert_allclose(rollout.reward[..., 0] * _walking_in_a_circle().utility_scale, paid)


def test_a_game_without_decisions_is_refused() -> None:
    tree = compile_game("kuhn_poker")
    nobody = dataclasses.replace(
        tree,
        legal_actions=tree.legal_actions[:0],
        info_state=tree.info_state[:0],
        keys=(),
        level_offsets=(np.array([0, 0]), np.array([0, 0])),
    )
    with pytest.raises(ValueError, match="no player ever moves in kuhn_poker"):
        make_board(nobody)
