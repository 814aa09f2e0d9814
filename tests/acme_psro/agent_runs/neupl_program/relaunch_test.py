"""Tests of programs in which a process is killed: they are launched again and go on.

Each test launches a real program at least once, so all of them are slow.
"""

import dataclasses
import pathlib
import signal
import sys
from collections.abc import Callable

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.neupl_program import frozen, launch, population_files
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.oracle import ProgramOracle
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.neupl.members import make_graph_maker
from acme_psro.neupl.sinks import make_sinks
from acme_psro.policies import decoders, stored
from acme_psro.psro import loop
from acme_psro.psro.neupl import make_loop
from acme_psro.solvers import max_entropy_nash
from acme_psro.system import tables
from acme_psro.system.jobs import Event
from acme_psro.system.retries import Retries
from tests.acme_psro.agent_runs.processes import Processes

pytestmark = pytest.mark.slow

Make = Callable[..., NeuPLProgramConfig]


class Program:
    """A program of which one process is killed after its first epoch."""

    def __init__(self, config: NeuPLProgramConfig, directory: pathlib.Path, victim: str) -> None:
        self.config, self.directory, self.victim = config, directory, victim
        self.events: list[Event] = []
        self.epochs: list[int] = []
        self.processes = Processes("acme_psro.agent_runs.neupl_program", directory)
        self.outcomes_before = 0.0
        self.digests: dict[tuple[int, int], str] = {}

    def run(self) -> NeuPLPopulation:
        """Runs the program to its end."""
        return launch.run(
            self.config,
            self.directory,
            on_epoch=self._interfere,
            on_event=self.events.append,
            retries=Retries(most=1, first_wait=0.1),
        )

    def _interfere(self, population: NeuPLPopulation) -> None:
        self.epochs.append(population.epoch)
        fixed = {member: stored.digest(frozen.read(file)) for member, file in population.fixed.items()}
        assert self.digests.items() <= fixed.items(), "what is frozen never changes"
        self.digests = fixed
        found = self.processes.find(self.victim)
        if not self.outcomes_before:
            self.outcomes_before = tables.read(self.directory / "epochs.csv")[-1]["evaluation_games"]
            if self.victim:
                found[0].send_signal(signal.SIGKILL)


@pytest.fixture
def start(
    tmp_path: pathlib.Path,
    small: Make,
    compiled: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Program]:
    """`(victim, **changes) -> Program`."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compiled))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

    def make(victim: str, **changes: object) -> Program:
        settings = {"epochs": 4, "epoch_steps": 300, "checkpoint_seconds": 1.0, "max_nodes": 1000} | changes
        return Program(small(**settings), tmp_path / "run", victim)

    return make


def assert_ended_well(program: Program, population: NeuPLPopulation, scratch: pathlib.Path) -> None:
    """Asserts the files of a finished program, and that no process and no temporary file is left."""
    directory, config = program.directory, program.config
    assert population.epoch == config.epochs
    assert program.epochs == sorted(set(program.epochs)) and program.epochs[-1] == config.epochs
    rows = tables.read(directory / "epochs.csv")
    assert [row["epoch"] for row in rows] == list(range(1, config.epochs + 1))
    games = [row["evaluation_games"] for row in rows]
    assert games == sorted(games) and games[0] >= config.min_outcomes
    assert launch.is_done(config, directory)
    assert run_directory.read_failure(directory) is None
    for player in range(2):
        for index in range(4):
            path = population_files.place_in(directory)(player, index)
            policy = stored.read(path)
            expected = population_files.member(population, player, index)
            assert stored.digest(policy) == stored.digest(expected)
            decoders.decode(policy, decoders.DECODERS)
    assert program.processes.have_ended()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("victim", ["graph/0", "learner/0", "actor/0", "child"])
def test_a_program_goes_on_of_which_something_was_killed(
    victim: str, start: Callable[..., Program], tmp_path: pathlib.Path
) -> None:
    program = start(victim)
    population = program.run()
    assert [event.kind for event in program.events] == ["started", "failed", "started", "done"]
    assert_ended_well(program, population, tmp_path / "scratch")
    first, second = tables.read(program.directory / "starts.csv")
    assert first["actor_steps"] == 0 < second["actor_steps"]
    # What was learned about payoffs was not lost.
    last = tables.read(program.directory / "epochs.csv")[-1]
    assert last["evaluation_games"] > program.outcomes_before > 0


@pytest.mark.parametrize("victim", ["graph/0", "learner/0"])
def test_frozen_members_are_the_same_after_a_kill(
    victim: str, start: Callable[..., Program], tmp_path: pathlib.Path
) -> None:
    neupl = {"freezing": True, "patience": 1, "active_members": 1}
    program = start(victim, epochs=6, neupl=neupl, freezing_games=200)
    population = program.run()
    assert [event.kind for event in program.events] == ["started", "failed", "started", "done"]
    assert_ended_well(program, population, tmp_path / "scratch")
    assert len(program.digests) >= 2
    for player, index in program.digests:
        policy = stored.read(population_files.place_in(program.directory)(player, index))
        assert stored.digest(policy) == program.digests[player, index]


def test_a_finished_program_goes_on_if_it_is_given_more_epochs(
    start: Callable[..., Program], tmp_path: pathlib.Path
) -> None:
    program = start("", epochs=1)
    assert program.run().epoch == 1
    assert program.epochs == [1]
    # The population that is there is seen again.
    program.epochs = []
    program.config = dataclasses.replace(program.config, epochs=2)
    population = program.run()
    assert_ended_well(program, population, tmp_path / "scratch")
    steps = [row["gradient_steps"] for row in tables.read(program.directory / "epochs.csv")]
    assert steps[0] >= 300 and steps[1] - steps[0] >= 300


def test_a_loop_runs_on_the_programs_epochs(
    start: Callable[..., Program], tree: GameTree, tmp_path: pathlib.Path
) -> None:
    config = start("", epochs=3).config
    meta_game = ExactMetaGame(tree, make_sinks(tree, config.members))
    neupl = make_loop(meta_game, max_entropy_nash.solve, config.members, make_graph_maker(config.members))
    oracle = ProgramOracle(tree, config, tmp_path / "run")
    states = loop.run(
        loop.initialise(meta_game, neupl),
        seed=0,
        iterations=3,
        oracle=oracle,
        meta_game=meta_game,
        loop=neupl,
        converged=lambda state: False,
    )
    first = next(states)
    assert first.iteration == 1
    assert [len(population) for population in first.populations] == [4, 4]
    assert first.counts.gradient_steps >= 300 and first.counts.episodes > 100
    # As if the loop had been killed now.
    memory = oracle.memory()
    oracle.close()
    again = ProgramOracle(tree, config, tmp_path / "run")
    again.remember(memory)
    state = loop.step(first, np.zeros(2, np.uint32), oracle=again, meta_game=meta_game, loop=neupl)
    again.close()
    assert state.iteration == 2
    assert state.counts.gradient_steps >= 600
    assert np.abs(state.payoffs - first.payoffs).max() > 0
    assert again.memory()["epoch"] > memory["epoch"]
    assert list((tmp_path / "scratch").iterdir()) == []
