"""Play at nodes: of tables, and against players who draw their policies together, as kept games need it."""

from __future__ import annotations

import numpy as np
import pytest

from acme_psro.evaluation import deviations
from acme_psro.evaluation.coordinated import coordinated_play, others_reach
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.profiles import joint_of_cells
from acme_psro.oracles.device import kept_games, node_play
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Population, make_policy

PLAYER = 1


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker(players=3)")


@pytest.fixture(scope="module")
def populations(tree: GameTree) -> tuple[Population, ...]:
    """Two policies a player: the first legal action everywhere, and any with all actions."""
    rng, populations = np.random.default_rng(0), []
    for player in range(tree.num_players):
        legal = tree.legal_actions[tree.infosets_of(player)]
        mixed = rng.random(legal.shape) * legal
        tables = (np.eye(tree.num_actions)[legal.argmax(axis=1)], mixed / mixed.sum(axis=1, keepdims=True))
        populations.append(tuple(make_policy(tree, player, table) for table in tables))
    return tuple(populations)


@pytest.fixture(scope="module")
def joint() -> JointStrategy:
    """The others mostly draw the same number, and so does the player."""
    cells = np.full((2, 2, 2), 0.02)
    cells[0, 0, 0], cells[1, 1, 1] = 0.5, 0.38
    return joint_of_cells(cells)


@pytest.fixture(scope="module")
def others(tree: GameTree, populations: tuple[Population, ...], joint: JointStrategy) -> np.ndarray:
    joint_play = coordinated_play(tree, populations, joint, PLAYER)
    return node_play.coordinated_others(tree, joint_play, PLAYER)


def _chance(tree: GameTree) -> np.ndarray:
    reach = tree.probability.copy()
    for node in range(1, tree.num_nodes):
        reach[node] *= reach[tree.parent[node]]
    return reach


def test_a_coordinator_leads_to_nodes_as_the_joint_draw_does(
    tree: GameTree, populations: tuple[Population, ...], joint: JointStrategy, others: np.ndarray
) -> None:
    drawn = others_reach(tree, populations, joint, PLAYER, np.arange(tree.num_nodes))
    np.testing.assert_allclose(others, drawn, atol=1e-12)


def test_independent_others_lead_to_nodes_by_either_way(tree: GameTree) -> None:
    table = tree.uniform_policy()
    plan = traverse.realisation_plan(tree, table)
    alone = node_play.independent_others(tree, plan, PLAYER)
    assert alone[tree.terminal_nodes] == pytest.approx(traverse.others_reach(tree, plan, PLAYER))
    against, by_table = node_play.against(tree, alone, table, PLAYER), node_play.by_table(tree, table)
    np.testing.assert_allclose(against.moves, by_table.moves, atol=1e-12)
    np.testing.assert_allclose(against.reach, by_table.reach, atol=1e-12)


def test_games_against_a_joint_draw_end_as_often_as_they_must(tree: GameTree, others: np.ndarray) -> None:
    played, num = node_play.against(tree, others, tree.uniform_policy(), PLAYER), 50_000
    probability = (_chance(tree) * played.reach)[tree.terminal_nodes]
    assert probability.sum() == pytest.approx(1.0)
    ends = kept_games.play(tree, played, num, np.random.default_rng(1))
    counts = np.bincount(ends, minlength=tree.num_nodes)[tree.terminal_nodes]
    # Six standard deviations of each of the counts, and one more game where they are small.
    assert (np.abs(counts - num * probability) <= 6 * np.sqrt(num * probability) + 1).all()


def test_games_of_anybody_tell_what_a_joint_draw_pays(
    tree: GameTree, populations: tuple[Population, ...], joint: JointStrategy, others: np.ndarray
) -> None:
    """From endlessly many games of uniform players follows how to respond to the others' joint draw."""
    uniform = node_play.by_table(tree, tree.uniform_policy())
    games = kept_games.KeptGames(_chance(tree) * uniform.reach, uniform.reach)
    outcomes = kept_games.find_outcomes(tree, PLAYER)
    weighed = kept_games.weigh(tree, outcomes, games, others, PLAYER)
    choice = _respond(tree, outcomes, weighed)
    deviation = deviations.from_meta_strategy(tree, populations, joint, PLAYER)
    best = deviations.best_response(tree, deviation).value
    (gain,) = deviations.gains(tree, deviation, [make_policy(tree, PLAYER, choice)])
    assert gain + deviation.value == pytest.approx(best, abs=1e-9)


def _respond(tree: GameTree, outcomes: kept_games.Outcomes, weighed: kept_games.Weighed) -> np.ndarray:
    """Returns `[I_p, A]`: the best actions by backward induction over outcomes."""
    rows = tree.infosets_of(PLAYER)
    values, best = np.zeros(tree.num_infosets), np.zeros((tree.num_infosets, tree.num_actions))
    for infoset in range(rows.stop - 1, rows.start - 1, -1):
        earned = np.full(tree.num_actions, -np.inf)
        for action in np.flatnonzero(tree.legal_actions[infoset]):
            mine = (outcomes.infoset == infoset) & (outcomes.action == action) & (weighed.weight > 0)
            after = np.where(outcomes.ends[mine], 0.0, values[outcomes.next_infoset[mine]])
            if mine.any():
                earned[action] = np.average(weighed.reward[mine] + after, weights=weighed.weight[mine])
        # Without any weight nothing is known, and any action is as good.
        action = earned.argmax() if np.isfinite(earned).any() else tree.legal_actions[infoset].argmax()
        values[infoset], best[infoset, action] = max(earned[action], -1e9), 1.0
    return best[rows]
