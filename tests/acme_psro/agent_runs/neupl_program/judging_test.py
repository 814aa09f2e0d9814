"""Tests of judgement by games, with members of Kuhn poker whose policies are tables."""

import pathlib

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import frozen, judging
from acme_psro.agent_runs.neupl_program.frozen import Frozen
from acme_psro.agent_runs.neupl_program.judging import Judge
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import StoredPolicy
from acme_psro.policies.tabular import combine, make_policy

PATIENCE = 2


class Game:
    """A program in which the newest member of the frontier plays by a given table."""

    def __init__(
        self, tree: GameTree, graph: np.ndarray, directory: pathlib.Path, patch: pytest.MonkeyPatch
    ) -> None:
        self.tree, self.graph, self.directory = tree, graph, directory
        self.table = tree.uniform_policy()
        self.judge = Judge("kuhn_poker", directory, 2000, PATIENCE, seed=5)
        patch.setattr(judging, "member", self.member)

    def member(self, population: NeuPLPopulation, player: int, index: int) -> StoredPolicy:
        if index == 0:
            return decoders.uniform("kuhn_poker()", player)
        if (player, index) in population.fixed:
            return frozen.read(population.fixed[player, index])
        policy = make_policy(self.tree, player, self.table[self.tree.infosets_of(player)])
        return decoders.from_tree_policy(self.tree, player, policy)

    def epoch(self, state: Frozen, table: np.ndarray) -> Frozen:
        self.table = table
        rows = state.keep_rows(self.graph)
        payoffs = np.zeros_like(rows)
        population = NeuPLPopulation(
            state.epoch + 1, {}, {}, rows, payoffs, fixed=state.files(self.directory)
        )
        return self.judge(state, population)

    def best(self) -> np.ndarray:
        """Returns `[I, A]`: exact best responses of both players to the sinks."""
        uniform = self.tree.uniform_policy()
        plans = [
            make_policy(self.tree, player, uniform[self.tree.infosets_of(player)]).plan for player in range(2)
        ]
        table = uniform.copy()
        for player in range(2):
            found = traverse.best_response(self.tree, combine(self.tree, plans), player).table
            own = self.tree.infosets_of(player)
            table[own] = found[own]
        return table


@pytest.fixture
def game(tree: GameTree, graph: np.ndarray, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Game:
    return Game(tree, graph, tmp_path, monkeypatch)


def test_the_best_member_is_kept_and_fixed_after_epochs_without_progress(game: Game) -> None:
    start = frozen.start(4)
    uniform, best = game.tree.uniform_policy(), game.best()
    first = game.epoch(start, uniform)
    assert first.progress.frontier == 1 and sorted(first.names) == [(0, 1), (1, 1)]
    second = game.epoch(first, best)
    # An exact response is better by far than the noise of the games.
    assert second.names != first.names and second.progress.idle.tolist() == [0, 0]
    third = game.epoch(second, uniform)
    assert third.progress.idle.tolist() == [1, 1] and third.names == second.names
    fourth = game.epoch(third, 0.5 * best + 0.5 * uniform)
    assert fourth.progress.frontier == 2
    assert fourth.fixed == second.names
    for member, file in fourth.files(game.directory).items():
        np.testing.assert_array_equal(fourth.rows[member], game.graph[member])
        own = game.tree.infosets_of(member[0])
        np.testing.assert_allclose(decoders.table_on_tree(game.tree, frozen.read(file)), best[own])


def test_fixed_members_never_change_while_later_ones_are_judged(game: Game) -> None:
    state = frozen.start(4)
    digests: dict[tuple[int, int], str] = {}
    rng = np.random.default_rng(0)
    for _ in range(20):
        noise = rng.uniform(0.05, 1, game.tree.legal_actions.shape) * game.tree.legal_actions
        state = game.epoch(state, noise / noise.sum(axis=1, keepdims=True))
        frozen.prune(game.directory, state.names.values())
        found = {
            member: stored.digest(frozen.read(file)) for member, file in state.files(game.directory).items()
        }
        assert digests.items() <= found.items()
        digests = found
    assert state.progress.frontier == 4 and len(digests) == 6
    assert game.epoch(state, game.tree.uniform_policy()).fixed == state.fixed


def test_values_are_those_of_exact_payoffs_up_to_their_error(game: Game, tree: GameTree) -> None:
    uniform = decoders.uniform("kuhn_poker()", 0)
    rows = np.zeros((2, 4, 4))
    rows[:, 1, 0], rows[:, 2, :2] = 1, [0.75, 0.25]
    game.table = game.best()
    population = NeuPLPopulation(1, {}, {}, rows, rows)
    value, error = game.judge._value(population, 0, 2, uniform, 0)
    own = [make_policy(tree, player, tree.uniform_policy()[tree.infosets_of(player)]) for player in range(2)]
    other = make_policy(tree, 1, game.table[tree.infosets_of(1)])
    exact = [
        traverse.expected_returns(tree, combine(tree, (own[0].plan, plan)))[0]
        for plan in (own[1].plan, other.plan)
    ]
    assert 0 < error < 0.07
    assert abs(value - (0.75 * exact[0] + 0.25 * exact[1])) < 4 * error


def test_noise_alone_is_no_progress_for_long(game: Game) -> None:
    """A member that stays as good as it is is fixed after a few epochs, whatever its games say."""
    state = frozen.start(4)
    for _ in range(8):
        state = game.epoch(state, game.tree.uniform_policy())
    assert state.progress.frontier > 1
