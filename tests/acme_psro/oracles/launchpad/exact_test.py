"""The Launchpad oracle: tasks go out as files, policies come back, and what they gain is measured."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.evaluation import deviations
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles import exact
from acme_psro.oracles.base import BestResponseTask, Counts
from acme_psro.oracles.launchpad.exact import make_oracle
from acme_psro.oracles.launchpad.tasks import Learned, Program
from acme_psro.policies import decoders, mixture_files, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Policy, make_policy, mixture_plan, uniform_policy

Tables = Callable[[GameTree, int], np.ndarray]
KEY = np.array([7, 0xABC], np.uint32)


@pytest.fixture(scope="module")
def kuhn(compiled: Callable[[str], GameTree]) -> GameTree:
    return compiled("kuhn_poker")


def table_of(tree: GameTree, written: stored.StoredPolicy) -> np.ndarray:
    """`[I_p, A]` of a policy of kind "table"."""
    return decoders.table_of(written)[1]


def tasks_of(tree: GameTree, random_table: Tables, size: int = 3) -> list[BestResponseTask]:
    rng = np.random.default_rng(0)
    populations = tuple(
        tuple(
            make_policy(tree, player, random_table(tree, 10 * player + k)[tree.infosets_of(player)])
            for k in range(size)
        )
        for player in range(tree.num_players)
    )
    strategy = ProductStrategy(tuple(rng.dirichlet(np.ones(size)) for _ in populations))
    return [BestResponseTask(player, populations, strategy) for player in range(tree.num_players)]


class _Solving:
    """Runs programs that answer exactly, from nothing but their files."""

    def __init__(self, tree: GameTree) -> None:
        self._tree = tree
        self.programs: list[Program] = []

    def __call__(self, programs: Sequence[Program]) -> list[Learned]:
        self.programs += programs
        return [self._solve(program) for program in programs]

    def _solve(self, program: Program) -> Learned:
        tree, player = self._tree, program.player
        read = mixture_files.load(program.opponents)
        assert not read.policies[player]
        assert isinstance(read.meta_strategy, ProductStrategy)
        populations, weights = [], []
        for other, own in enumerate(read.policies):
            # Those without weight are not in the files.
            policies = [
                make_policy(tree, other, table_of(tree, each)) if each else uniform_policy(tree, other)
                for each in own
            ]
            populations.append(tuple(policies) or (uniform_policy(tree, other),))
            weights.append(read.meta_strategy.marginals[other] if policies else np.ones(1))
        best = traverse.best_response(tree, mixture_plan(tree, populations, weights), player)
        # Not quite pure: the oracle is to take the most probable action.
        table = 0.9 * best.table + 0.1 * tree.uniform_policy()
        policy = make_policy(tree, player, table[tree.infosets_of(player)])
        program.directory.mkdir(parents=True)
        stored.write(program.directory / "policy.npz", decoders.from_tree_policy(tree, player, policy))
        return Learned(program.directory / "policy.npz", Counts(5, 6, 7), {"q": 0.5})


def test_programs_that_answer_exactly_from_their_files_gain_all_there_is(
    case: Any, random_table: Tables, tmp_path: pathlib.Path
) -> None:
    tree, solve = case.tree, _Solving(case.tree)
    tasks = tasks_of(tree, random_table)
    responses = make_oracle(tree, tmp_path, solve, table_of)(KEY, tasks)
    for task, response in zip(tasks, responses, strict=True):
        plan = mixture_plan(tree, task.populations, task.meta_strategy.marginals)
        assert response.best_gain == pytest.approx(traverse.gains(tree, plan)[task.player], abs=1e-12)
        assert response.gain == pytest.approx(response.best_gain, abs=1e-9)
        if response.best_gain > 1e-9:
            assert response.policy is not None
            assert response.counts == Counts(5, 6, 7)
            assert response.metrics == {"q": 0.5}


def test_tasks_lie_where_the_key_says_with_seeds_of_their_own(
    kuhn: GameTree, random_table: Tables, tmp_path: pathlib.Path
) -> None:
    solve = _Solving(kuhn)
    respond = make_oracle(kuhn, tmp_path, solve, table_of)
    respond(KEY, tasks_of(kuhn, random_table))
    respond(KEY + np.uint32(1), tasks_of(kuhn, random_table))
    assert len({program.seed for program in solve.programs}) == 4
    assert len({program.directory for program in solve.programs}) == 4
    first = solve.programs[0]
    assert first.directory == tmp_path / "0000000700000abc" / "player_0" / "run"
    assert (first.game, first.player) == (kuhn.game_string, 0)


def test_asked_again_it_gives_the_same_programs_and_leaves_their_files_alone(
    kuhn: GameTree, random_table: Tables, tmp_path: pathlib.Path
) -> None:
    asked: list[Program] = []

    def killed(programs: Sequence[Program]) -> list[Learned]:
        asked.extend(programs)
        raise RuntimeError("killed")

    respond = make_oracle(kuhn, tmp_path, killed, table_of)
    times = []
    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            respond(KEY, tasks_of(kuhn, random_table))
        times.append([path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.*"))])
    assert asked[:2] == asked[2:]
    assert times[0] == times[1]


def test_a_player_who_cannot_gain_costs_no_program(
    kuhn: GameTree, tmp_path: pathlib.Path, random_table: Tables
) -> None:
    tasks = tasks_of(kuhn, random_table, size=1)
    response = exact.make_oracle(kuhn)(KEY, tasks)[0]
    assert response.policy is not None
    populations = ((response.policy,), tasks[0].populations[1])
    strategy = ProductStrategy((np.ones(1), np.ones(1)))
    solve = _Solving(kuhn)
    respond = make_oracle(kuhn, tmp_path, solve, table_of)
    found = respond(KEY, [BestResponseTask(player, populations, strategy) for player in range(2)])
    assert [program.player for program in solve.programs] == [1]
    assert found[0].policy is None and found[0].best_gain == pytest.approx(0.0, abs=1e-9)


def test_a_response_that_gains_nothing_is_not_kept(
    kuhn: GameTree, random_table: Tables, tmp_path: pathlib.Path
) -> None:
    worst = {player: _worst_of(kuhn, player, tmp_path) for player in range(2)}

    def find(programs: Sequence[Program]) -> list[Learned]:
        return [Learned(worst[program.player], Counts(1, 1, 1)) for program in programs]

    respond = make_oracle(kuhn, tmp_path / "tasks", find, table_of)
    for response in respond(KEY, tasks_of(kuhn, random_table)):
        assert response.gain < 0 < response.best_gain
        assert response.policy is None


def test_of_all_snapshots_the_best_is_taken_and_others_that_gain_are_offered(
    kuhn: GameTree, random_table: Tables, tmp_path: pathlib.Path
) -> None:
    tasks = tasks_of(kuhn, random_table)
    best = exact.make_oracle(kuhn)(KEY, tasks)
    order: dict[int, list[np.ndarray]] = {}

    def find(programs: Sequence[Program]) -> list[Learned]:
        found = []
        for program in programs:
            player, snapshots = program.player, []
            policies = _policies_between(kuhn, player, best[player].policy)
            order[player] = [policy.table for policy in policies]
            # The best one is neither the first nor the last, and one is there twice.
            for index in (-1, 1, 0, 2, 1):
                path = tmp_path / f"{player}_{len(snapshots)}.npz"
                stored.write(path, decoders.from_tree_policy(kuhn, player, policies[index]))
                snapshots.append(path)
            found.append(Learned(snapshots[-1], Counts(1, 1, 1), snapshots=tuple(snapshots[:-1])))
        return found

    responses = make_oracle(kuhn, tmp_path / "tasks", find, table_of)(KEY, tasks)
    for task, response in zip(tasks, responses, strict=True):
        player = task.player
        deviation = deviations.from_meta_strategy(kuhn, task.populations, task.meta_strategy, player)
        gains = deviations.gains(
            kuhn, deviation, [make_policy(kuhn, player, table) for table in order[player]]
        )
        # The test is of something: gains fall along the order, and the last policy loses.
        assert gains == sorted(gains, reverse=True) and gains[0] > gains[1] > gains[2] > 0 > gains[-1]
        assert response.policy is not None
        np.testing.assert_array_equal(response.policy.table, order[player][0])
        assert response.gain == pytest.approx(gains[0], abs=1e-12)
        assert len(response.others) == 2
        for other, expected in zip(response.others, order[player][1:3], strict=True):
            np.testing.assert_array_equal(other.table, expected)


def _policies_between(tree: GameTree, player: int, best: Policy | None) -> list[Policy]:
    """Returns deterministic policies, each of which deviates from a best response in one state more."""
    assert best is not None
    table, policies = best.table.copy(), [best]
    for row in range(len(table)):
        # Every decision in Kuhn poker is between two actions.
        table[row] = table[row][::-1]
        policies.append(make_policy(tree, player, table))
    return policies


def test_gains_are_over_the_mixture_without_trembles(
    kuhn: GameTree, random_table: Tables, tmp_path: pathlib.Path
) -> None:
    tasks, solve = tasks_of(kuhn, random_table), _Solving(kuhn)
    found = [
        make_oracle(kuhn, tmp_path / str(trembles), solve, table_of, trembles=trembles)(KEY, tasks)
        for trembles in (0.0, 0.3)
    ]
    assert [mixture_files.load(program.opponents).trembles for program in solve.programs] == [0, 0, 0.3, 0.3]
    for without, response in zip(*found, strict=True):
        assert (response.gain, response.best_gain) == (without.gain, without.best_gain)
        assert response.gain == pytest.approx(response.best_gain, abs=1e-9)


def _worst_of(tree: GameTree, player: int, directory: pathlib.Path) -> pathlib.Path:
    """The file of a policy that folds the best hand and bets the worst."""
    legal = tree.legal_actions[tree.infosets_of(player)]
    hands = [int(key[0]) for key in tree.keys[tree.infosets_of(player)]]
    table = np.eye(legal.shape[1])[[1 if hand == 0 else 0 for hand in hands]]
    path = directory / f"worst_{player}.npz"
    policy = make_policy(tree, player, table)
    stored.write(path, decoders.from_tree_policy(tree, player, policy))
    return path
