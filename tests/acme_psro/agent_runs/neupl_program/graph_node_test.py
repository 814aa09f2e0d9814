"""Tests of the graph node alone, with stand-ins for the learner and the counter."""

import pathlib
from collections.abc import Callable
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import launchpad as lp
import numpy as np
import pytest
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.neupl_program import frozen, graph_node, parts, population_files
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.exact_figures import ExactFigures
from acme_psro.agent_runs.neupl_program.frozen import Served
from acme_psro.agent_runs.neupl_program.graph_node import GraphNode
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.neupl.interaction_graph import make_graph
from acme_psro.oracles.base import Counts
from acme_psro.policies import stored
from acme_psro.system import tables

Make = Callable[..., NeuPLProgramConfig]
EXACT = np.stack([np.tri(4), -np.tri(4)])
FIGURES = ExactFigures(EXACT, 0.25)


class Learner:
    def get_variables(self, names: list[str]) -> list[Any]:
        return [self.variables]

    def __init__(self, config: NeuPLProgramConfig) -> None:
        made = parts.make_parts(config)
        core = made.agent.make_core(made.agent.network_factory(made.spec))
        self.variables = jax.device_get(core.variables(core.init(jax.random.PRNGKey(0))))
        self.about = parts.describe(config, made.agent)


class Program:
    """A program in which each wait of the node is a moment of play and learning."""

    def __init__(
        self, config: NeuPLProgramConfig, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.config, self.directory = config, directory
        self.counter = counting.Counter()
        self.learner = Learner(config)
        self.stops = 0
        self._waits, self._most = 0, 0
        monkeypatch.setattr(lp, "wait_for_stop", self._wait)
        monkeypatch.setattr(lp, "stop", self._stop)
        self.rng = np.random.default_rng(0)
        self.node = self.make_node()
        self.served: list[Served] = []

    def make_node(self) -> GraphNode:
        measure: Callable[[NeuPLPopulation], ExactFigures] = lambda population: FIGURES  # noqa: E731
        return GraphNode(self.config, self.directory, self.learner.about, self.learner, self.counter, measure)

    def run(self, waits: int = 10_000) -> None:
        self._most = self._waits + waits
        self.node.run()

    def _wait(self, seconds: float) -> bool:
        self._waits += 1
        if run_directory.is_ending(self.directory):
            run_directory.finish(self.directory)
            return False
        self.counter.increment(learner_gradient_steps=5, actor_steps=100)
        rows = self.node.get_graph()[1].astype(np.float32)
        pairs = self.rng.integers(4, size=(2, 20))
        # Player 0 wins if its member has the larger index.
        outcome = np.sign(pairs[0] - pairs[1]).astype(np.float32)
        self.served.append(self.node.add_games(rows[0, pairs[0]], rows[1, pairs[1]], outcome))
        return self._waits > self._most

    def _stop(self) -> None:
        assert run_directory.has_finished(self.directory)
        self.stops += 1


@pytest.fixture
def program(small: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(small(epochs=3, epoch_steps=50), tmp_path, monkeypatch)


def test_graphs_are_made_when_they_are_due_until_the_last_epoch(program: Program) -> None:
    epoch, first, _ = program.node.get_graph()
    assert epoch == 0
    program.run()
    assert program.stops == 1
    epochs = [served.epoch for served in program.served]
    assert epochs == sorted(epochs) and set(epochs) == {0, 1, 2, 3}
    rows = tables.read(program.directory / "epochs.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["gradient_steps"] for row in rows] == [50, 100, 150]
    assert [row["evaluation_games"] for row in rows] == [200, 400, 600]
    assert all(row["exploitability"] == 0.25 for row in rows)
    population = population_files.read(program.directory)
    assert rows[-1]["payoff_error"] == pytest.approx(np.abs(population.payoffs - EXACT).mean())
    assert population.epoch == 3
    assert population.evaluation_games == 600
    assert population.counts == Counts(episodes=600, env_steps=3000, gradient_steps=150)
    assert population.about == program.learner.about
    # The rows are those that the members had, before the last graph was made.
    third = next(served for served in program.served if served.epoch == 2)
    np.testing.assert_array_equal(population.graph, third.graph)
    assert np.abs(population.graph - first).max() > 0.01
    assert len(list((program.directory / "policies").iterdir())) == 8
    np.testing.assert_array_equal(population.payoffs[0], -population.payoffs[1])
    # In utility units: the largest return of Kuhn poker is 2.
    assert population.payoffs[0, 3, 0] > 0.5


def test_graphs_can_be_made_from_exact_payoffs(
    small: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(epochs=2, epoch_steps=50, payoffs="exact", max_nodes=100, min_outcomes=10_000)
    program = Program(config, tmp_path, monkeypatch)
    program.run()
    population = population_files.read(tmp_path)
    np.testing.assert_array_equal(population.payoffs, EXACT)
    expected = make_graph("psro_nash", EXACT, config.members.row_tolerance)
    np.testing.assert_array_equal(population.graph, expected)
    # The error is still that of estimated payoffs.
    assert all(row["payoff_error"] > 0 for row in tables.read(tmp_path / "epochs.csv"))


def test_a_node_that_was_lost_goes_on(program: Program) -> None:
    program.run(waits=15)
    state = program.node._state
    assert (state.epoch, state.received) == (1, 300)
    # A row that a lost node wrote before it saved itself.
    tables.Table(program.directory / "epochs.csv", "epoch").write({"epoch": 2})
    program.node = program.make_node()
    assert program.node.get_graph()[0] == 1
    np.testing.assert_array_equal(program.node.get_graph()[1], state.graph)
    assert program.node._state.received == 300
    assert program.node._state.estimator.step == state.estimator.step
    program.run()
    assert [row["epoch"] for row in tables.read(program.directory / "epochs.csv")] == [1, 2, 3]
    assert program.stops == 1


def test_a_node_that_was_lost_at_the_very_end_ends_the_program(program: Program) -> None:
    program.run()
    for name in ("finished.json",):
        (program.directory / name).unlink()
    program.node = program.make_node()
    program.run()
    assert program.stops == 2
    assert len(tables.read(program.directory / "epochs.csv")) == 3


@pytest.fixture
def freezing(
    small: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, quick_compilation: None
) -> Program:
    """A program that freezes its members, who never learn."""
    config = small(epochs=5, epoch_steps=25, neupl={"freezing": True, "patience": 1}, freezing_games=100)
    return Program(config, tmp_path, monkeypatch)


def test_members_are_frozen_from_below_and_never_change_again(freezing: Program) -> None:
    digests: dict[tuple[int, int], str] = {}
    written: list[NeuPLPopulation] = []

    def look() -> None:
        population = population_files.read(freezing.directory)
        found = {place: stored.digest(frozen.read(file)) for place, file in population.fixed.items()}
        assert digests.items() <= found.items()
        digests.update(found)
        written.append(population)

    for epoch in range(1, 6):
        while freezing.node.get_graph().epoch < epoch:
            freezing.run(waits=1)
        look()
        if epoch in (2, 3):
            freezing.node = freezing.make_node()
    assert len(digests) >= 2
    assert [population.epoch for population in written] == sorted({each.epoch for each in written})
    # What is served, what is stored and what the members' files say is the same.
    last = written[-1]
    assert set(freezing.node.get_graph().fixed) == set(last.fixed)
    for player, index in last.fixed:
        row = np.array(population_files.member(last, player, index).about["context"][:-1])
        np.testing.assert_allclose(row, last.graph[player, index], atol=1e-6)
        np.testing.assert_array_equal(
            last.graph[player, index], freezing.node.get_graph().graph[player, index]
        )
    rows = tables.read(freezing.directory / "epochs.csv")
    assert [row["frozen"] for row in rows] == sorted(row["frozen"] for row in rows)


def test_a_node_that_was_lost_between_judgement_and_population_does_not_judge_again(
    freezing: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(graph_node.population_files, "write", lose)
        with pytest.raises(KeyboardInterrupt):
            freezing.run()
    freezing.node = freezing.make_node()
    held = freezing.node._state.frozen
    assert held is not None and (held.epoch, freezing.node._state.epoch) == (1, 0)
    monkeypatch.setattr(freezing.node, "_judge", lose)
    freezing.run(waits=1)
    assert freezing.node._state.epoch == 1 and freezing.node._state.frozen is held


def test_no_graph_is_made_from_guesses(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(GraphNode, "_receive", lambda node: None)
        program.run(waits=30)
    assert program.node.get_graph()[0] == 0
    assert not population_files.exists(program.directory)


def test_the_first_graph_waits_for_enough_outcomes(
    small: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(small(epochs=2, epoch_steps=50, min_outcomes=300), tmp_path, monkeypatch)
    program.run()
    rows = tables.read(tmp_path / "epochs.csv")
    assert [row["evaluation_games"] for row in rows] == [300, 500]
    assert [row["gradient_steps"] for row in rows] == [75, 125]


def test_checkpoints_are_written_between_epochs(
    small: Make, tmp_path: pathlib.Path, monkeypatch: Any
) -> None:
    program = Program(small(epoch_steps=10_000, checkpoint_seconds=0.0), tmp_path, monkeypatch)
    saves: list[int] = []
    monkeypatch.setattr(GraphNode, "_save", lambda node: saves.append(node._state.received))
    program.run(waits=4)
    assert saves == [20, 40, 60, 80, 80]


def test_a_checkpoint_of_another_population_is_refused(
    program: Program, small: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.run(waits=2)
    with pytest.raises(ValueError, match="of another network or population"):
        Program(small(neupl={"population_size": 5}), tmp_path, monkeypatch)


def test_failures_are_recorded(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(graph_node.graph_state, "receive", fail)
    with pytest.raises(ZeroDivisionError):
        program.run()
    assert run_directory.read_failure(program.directory) == ("ZeroDivisionError", "no such luck", True)
