"""Opponents who draw their policies together, on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.evaluation import deviations
from acme_psro.evaluation.coordinated import others_reach
from acme_psro.games import rollout, traverse
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.profiles import make_profiles
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.meta_game.payoffs import value
from acme_psro.meta_game.profiles import marginals_of
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.keeping import KeepingTrainer
from acme_psro.oracles.device.oracle import make_oracle
from acme_psro.oracles.device.trainers import make_question
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Population, make_policy, mixture_plan, uniform_policy
from agents import crossq
from agents.core import AgentCore, Observation

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
    game = make_arrays(tree)
    profiles = make_profiles(game, tables, jnp.ones(1))
    num = 200_000
    mean = rollout.play(game, profiles, jax.random.key(player), 4_000, num // 4_000)
    (gain,) = deviations.gains(tree, question.deviation, [uniform_policy(tree, player)])
    # Returns of three-player Kuhn poker have a standard deviation below 2.
    assert float(mean[player]) == pytest.approx(gain + question.deviation.value, abs=4 * 2 / np.sqrt(num))


@pytest.mark.parametrize("player", [0, 1, 2])
def test_games_to_keep_are_played_against_the_joint_draw(
    player: int, compiled: Callable[[str], GameTree]
) -> None:
    """Some of them against average policies, which are drawn one by one, as the others tremble together."""
    tree = compiled("kuhn_poker(players=3)")
    task = _task(tree, player)
    question = make_question(tree, task)
    config = DeviceConfig(games_per_response=1, trembles=0.25)
    trainer = KeepingTrainer(tree, None, None, config)  # type: ignore[arg-type]
    ends = tree.terminal_nodes
    own = traverse.realisation_plan(tree, tree.uniform_policy())
    drawn = others_reach(tree, task.populations, TOGETHER[3], player, ends)
    apart = traverse.others_reach(tree, question.average, player)
    played = trainer._exploring(question)
    reached = (own + question.average)[tree.sequences[ends, player]] / 2
    np.testing.assert_allclose(played.reach[ends], (0.75 * drawn + 0.25 * apart) * reached, atol=1e-12)


@pytest.mark.slow
def test_responses_to_a_joint_draw_are_learned_from_kept_games(
    compiled: Callable[[str], GameTree], quick_compilation: None
) -> None:
    """Games against one draw are kept, and teach responses to another one, too."""
    tree = compiled("kuhn_poker(players=3)")

    def make_agent(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        config = dataclasses.replace(
            crossq.PRESETS["games"],
            critic_hidden_sizes=(32,),
            policy_hidden_sizes=(32,),
            discount=1.0,
            horizon=gradient_steps,
            temperature=0.3,
            final_temperature=0.003,
            learning_rate=0.02,
            final_learning_rate=1e-4,
            renorm_warmup=50,
            renorm_momentum=0.9,
        )
        return crossq.make_core(crossq.make_networks(example, num_actions, config), config)

    config = DeviceConfig(gradient_steps=200, batch_size=64, games_per_response=1500, max_extensions=0)
    oracle = make_oracle(tree, make_agent, config)
    for number, share in enumerate((0.3, 0.8)):
        joint = JointStrategy(TOGETHER[3].profiles, np.array([share, 1.0 - share]))
        tasks = [dataclasses.replace(_task(tree, player), meta_strategy=joint) for player in range(3)]
        for task, response in zip(tasks, oracle(np.array([7, number], np.uint32), tasks), strict=True):
            best = deviations.best_gain(tree, make_question(tree, task).deviation)
            assert response.best_gain == pytest.approx(best) and best > 0.1
            assert response.gain > 0.8 * best
            assert response.metrics["kept_games"] == 1500 * 3 * (number + 1)
