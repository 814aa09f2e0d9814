"""Fakes of programs and workers for tests of sampled runs: no process is started."""

import contextlib
import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs import installed
from acme_psro.evaluation import deviations
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import simulation, workers
from acme_psro.oracles.base import Counts
from acme_psro.oracles.launchpad.tasks import Learned, Program
from acme_psro.policies import as_table, decoders, mixture_files, stored
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.tabular import Policy, make_policy, uniform_policy
from acme_psro.population_runs import responses
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.population_runs.train import train_population
from acme_psro.storage import run_directory
from acme_psro.storage.run_config import write_config
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.tables import read_csv

GAME = "kuhn_poker"
FLAGS = (
    f"--game={GAME}",
    "--oracle=launchpad",
    "--payoffs=sampled",
    "--payoff_episodes=20",
    "--extra_payoff_episodes=200",
    "--gain_episodes=400",
    "--payoff_workers=1",
)
TIMINGS = ("wall_seconds", "iteration_seconds")


class Killed(BaseException):
    """Stands for the sudden death of the process."""


@dataclasses.dataclass
class World:
    """Fakes of programs and workers; if `mortal`, the run is killed once at each of their calls."""

    mortal: bool = False
    seen: set[tuple[Any, ...]] = dataclasses.field(default_factory=set)

    def tick(self, *call: Any) -> None:
        if call not in self.seen:
            self.seen.add(call)
            if self.mortal:
                raise Killed


class FakeWorkers:
    """Simulates games in this process instead of in worker processes."""

    def __init__(self, world: World, decoders: Mapping[str, decoders.Decoder]) -> None:
        self._world = world
        self._decoders = decoders

    def simulate(
        self,
        game: str,
        paths: Sequence[Sequence[pathlib.Path]],
        profiles: np.ndarray,
        episodes: int | np.ndarray,
        seed: int,
        begun: int | np.ndarray = 0,
    ) -> simulation.SampledReturns:
        self._world.tick(str(np.asarray(profiles)), str(episodes), seed, str(begun))
        policies = [[decoders.decode(stored.read(path), self._decoders) for path in own] for own in paths]
        return simulation.simulate(game, policies, profiles, episodes, seed, begun)

    def describe(self) -> str:
        return "this process"

    def close(self) -> None:
        pass


def table_of(tree: GameTree, policy: stored.StoredPolicy | None, player: int) -> Policy:
    if policy is None:
        return uniform_policy(tree, player)
    return make_policy(tree, player, as_table.make_table(tree, policy))


def respond(tree: GameTree, program: Program) -> Learned:
    """Returns an exact best response to a program's opponents, and writes the files that a program leaves."""
    loaded = mixture_files.load(program.opponents)
    strategy = loaded.meta_strategy
    populations = [
        tuple(table_of(tree, policy, player) for policy in own) or (uniform_policy(tree, player),)
        for player, own in enumerate(loaded.policies)
    ]
    if isinstance(strategy, JointStrategy):
        # The responding player's own policies do not travel, and do not count.
        profiles = strategy.profiles.copy()
        profiles[:, program.player] = 0
        strategy = JointStrategy(profiles, strategy.probabilities)
    else:
        assert isinstance(strategy, ProductStrategy)
        strategy = ProductStrategy(
            tuple(marginal if len(marginal) else np.ones(1) for marginal in strategy.marginals)
        )
    deviation = deviations.from_meta_strategy(tree, populations, strategy, program.player)
    best = deviations.best_response(tree, deviation)
    policy = make_policy(tree, program.player, best.table[tree.infosets_of(program.player)])
    directory = program.directory
    (directory / "checkpoints" / "100").mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "learner.csv", "program.log", "checkpoints/100/large"):
        (directory / name).write_text(name)
    path = directory / "policy.npz"
    stored.write(path, decoders.from_tree_policy(tree, program.player, policy))
    return Learned(path, Counts(11, 22, 33), {"loss": 0.5})


@contextlib.contextmanager
def faked(tree: GameTree) -> Iterator[World]:
    """Replaces programs by exact best responses and workers by simulation in this process."""
    world = World()

    def make_run_programs(
        config: Any, note: Callable[[str], None], exploiters: bool = False, placing: Placing = LOCAL
    ) -> Any:
        del exploiters, placing

        def run_programs(programs: Sequence[Program]) -> list[Learned]:
            world.tick("programs", *(str(program.directory) for program in programs))
            return [respond(tree, program) for program in programs]

        return run_programs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responses, "make_run_programs", make_run_programs)
        # Without programs, the packages that programs need may be missing.
        patch.setattr(installed, "check_acme_layer", lambda user: None)
        patch.setattr(workers, "Workers", lambda number, decoders: FakeWorkers(world, decoders))
        yield world


def train(directory: pathlib.Path, iterations: int = 1) -> list[dict[str, float]]:
    """Begins or resumes a run without printing, and returns its rows without timings."""
    config = PSROConfig(
        GAME,
        oracle="launchpad",
        payoffs="sampled",
        iterations=iterations,
        simulation={"payoff_episodes": 10, "extra_payoff_episodes": 40, "gain_episodes": 40},
    )
    kind = prepare_run(config, directory, 0.0, pytest.fail, print)
    restored = run_directory.resume(directory, kind.form, pytest.fail)
    write_config(directory, kind.config.to_json())
    with contextlib.redirect_stdout(io.StringIO()):
        train_population(kind, directory, restored)
    return untimed(directory)


def untimed(directory: pathlib.Path) -> list[dict[str, float]]:
    rows = read_csv(directory / "metrics.csv")
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows]
