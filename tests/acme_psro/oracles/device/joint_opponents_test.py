"""Opponents who draw their policies together, on the device."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.evaluation import deviations
from acme_psro.games import rollout, traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.payoffs import value
from acme_psro.meta_game.profiles import marginals_of
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device.trainers import make_question
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Population, make_policy, mixture_plan, uniform_policy

# Whoever draws the first policy does so together with all others.
TOGETHER = {
    players: JointStrategy(np.array([[0] * players, [1] * players]), np.array([0.3, 0.7]))
    for players in (2, 3)
}


def _pure(tree: GameTree) -> tuple[Population, ...]:
    """For each player a policy that takes the first legal action everywhere, and one that takes the last."""
    populations = []
    for player in range(tree.num_players):
        legal = tree.legal_actions[tree.infosets_of(player)]
        first = np.eye(tree.num_actions)[legal.argmax(axis=1)]
        last = np.eye(tree.num_actions)[tree.num_actions - 1 - legal[:, ::-1].argmax(axis=1)]
        populations.append((make_policy(tree, player, first), make_policy(tree, player, last)))
    return tuple(populations)


def _task(tree: GameTree, player: int) -> BestResponseTask:
    populations = _pure(tree)
    payoffs = exact_payoffs(tree, populations, None)
    return BestResponseTask(player, populations, TOGETHER[tree.num_players], payoffs)


def test_one_other_player_is_its_marginal(compiled: Callable[[str], GameTree]) -> None:
    tree = compiled("matrix_bos")
    task = _task(tree, 0)
    question = make_question(tree, task)
    assert question.joint_play is None
    weights = marginals_of(TOGETHER[2], [2, 2]).marginals
    np.testing.assert_array_equal(question.plan, mixture_plan(tree, task.populations, weights))
    # The player's own return is that of the joint draw all the same.
    assert question.deviation.value == pytest.approx(value(task.payoffs, TOGETHER[2])[0], abs=1e-12)
    apart = traverse.expected_returns(tree, question.plan)[0]
    # Battle of the sexes pays 3 or 2 where both choose the same.
    assert (question.deviation.value, apart) == pytest.approx((0.3 * 3 + 0.7 * 2, 0.09 * 3 + 0.49 * 2))


@pytest.mark.parametrize("player", [0, 1, 2])
def test_games_against_several_pay_what_the_joint_draw_pays(
    player: int, compiled: Callable[[str], GameTree]
) -> None:
    tree = compiled("kuhn_poker(players=3)")
    question = make_question(tree, _task(tree, player))
    assert question.joint_play is not None
    # The player itself moves evenly in this table.
    tables = jnp.asarray(question.joint_play[None], jnp.float32)
    game = rollout.make_arrays(tree)
    profiles = rollout.make_profiles(game, tables, jnp.ones(1))
    num = 200_000
    mean = rollout.play(game, profiles, jax.random.key(player), 4_000, num // 4_000)
    (gain,) = deviations.gains(tree, question.deviation, [uniform_policy(tree, player)])
    # Returns of three-player Kuhn poker have a standard deviation below 2.
    assert float(mean[player]) == pytest.approx(gain + question.deviation.value, abs=4 * 2 / np.sqrt(num))
