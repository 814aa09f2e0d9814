"""Population runs whose members all learn in one program, in games of any size.

Policies are files that the program writes after each epoch. Payoffs, and with them the interaction graph and
the players' play, are those that the program estimates from games between members; their errors are unknown.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyspiel

from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.oracle import EVALUATION_GAMES, SampledProgramOracle
from acme_psro.games import playing
from acme_psro.games.identity import name_game
from acme_psro.games.loading import load_game
from acme_psro.meta_game.copies import CopiesMetaGame
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.sampled import SimulationConfig
from acme_psro.meta_game.workers import SimulationError
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_graph_maker
from acme_psro.neupl.sinks import read_sinks
from acme_psro.oracles.base import Closing, Response
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import PolicyFile, StoredPolicy
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exploiters import Exploiters
from acme_psro.population_runs.meta_regret import RegretWarning
from acme_psro.population_runs.metrics import Row, is_known, sampled_row, wall_seconds
from acme_psro.population_runs.oracles import make_program_config
from acme_psro.population_runs.sampled import State, describe_bounds
from acme_psro.psro import neupl
from acme_psro.psro.registry import check_loop_fits
from acme_psro.solvers import check_solver_fits, get_solver
from acme_psro.storage import formats, policy_files
from acme_psro.storage.record import Record
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.executors.pool_workers import WorkersLostError
from acme_psro.system.jobs import JobError

_UNKNOWN = (
    "Nothing exact is known of exploitability: the members' payoffs are estimated, and no exploiter was "
    "trained (--set=launchpad.exploiter_steps=100000 with --resume trains one for each player)."
)


class SampledMembersRun(PopulationRun[PolicyFile, SampledPayoffs]):
    """A run of members in one program, see `acme_psro.population_runs.base.PopulationRun`.

    Args:
      config: the run's configuration.
      directory: the run's directory.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line for each failure of a program, and if the meta-solver's answer is no
        equilibrium.
      placing: the machines on which programs run.

    Raises:
      ValueError: a setting is not allowed, the loop or the meta-solver does not fit the game, the game offers
        no observation tensor for networks, or a sink's file cannot be used.
    """

    failures = (JobError, WorkersLostError, SimulationError)

    def __init__(
        self,
        config: PSROConfig,
        directory: Path,
        started: float,
        warn: Callable[[str], None],
        placing: Placing = LOCAL,
    ) -> None:
        self._settings = SimulationConfig(**config.simulation)
        members, program = NeuPLConfig(**config.neupl), make_program_config(config)
        game = load_game(config.game)
        is_zero_sum = game.get_type().utility == pyspiel.GameType.Utility.ZERO_SUM
        check_loop_fits(config.loop, game.num_players(), is_zero_sum)
        check_solver_fits(config.meta_solver, game.num_players(), is_zero_sum)
        # Networks need tensors. A game without any is rejected here, before the program starts.
        playing.tensor_of(game)
        name = name_game(config.game)
        sinks = read_sinks(members, name)
        self.config = config
        self._name, self._started = name, started
        self._checkpoints = directory / "checkpoints"
        self._regret_warning = RegretWarning(config.meta_solver, warn)
        self._exploiters = self._make_exploiters(program, directory, warn, placing)
        self.form = formats.of_files(name, lasting=False)
        self.meta_game = CopiesMetaGame(
            name,
            [sinks.get(player, decoders.uniform(name, player)) for player in range(2)],
            self._store,
            self._settings.payoff_episodes,
            config.seed,
        )
        solve, make_graph = get_solver(config.meta_solver), make_graph_maker(members)
        self.loop = neupl.make_loop(self.meta_game, solve, members, make_graph, _known_payoffs)
        self.oracle = SampledProgramOracle(
            program,
            directory / "program",
            self._store,
            on_event=lambda event: warn(f"{event.job}: {event.message}") if event.message else None,
            placing=placing,
        )

    def close(self) -> None:
        if isinstance(self.oracle, Closing):
            self.oracle.close()

    def describe(self) -> str:
        return (
            f"{self._name}: members learn in one program, which estimates their payoffs from simulated "
            "games; nothing exact is known of exploitability"
        )

    def converged(self, state: State) -> bool:
        # It is never known that no player can gain.
        return False

    def add_row(self, before: Sequence[Row], state: State, seconds: float) -> list[Row]:
        wall = wall_seconds(before, seconds, time.monotonic() - self._started)
        self._regret_warning.check(state.iteration, state.payoffs.mean, state.meta_strategy)
        # The program's counts include its evaluation games, but not the games of the first policies.
        counted = int(state.responses[0].metrics[EVALUATION_GAMES]) if state.responses else 0
        episodes = self._settings.payoff_episodes + counted
        return [*before, sampled_row(state, seconds, wall, payoff_episodes=episodes, counted=counted)]

    def conclude(self, record: Record[PolicyFile, SampledPayoffs]) -> Record[PolicyFile, SampledPayoffs]:
        """Completes the last row with lower bounds, if exploiters are asked for."""
        *others, last = record.metrics
        if self._exploiters is None or is_known(last):
            return record
        # The program is not needed any more, and exploiters need its processors.
        self.close()
        filled = self._exploiters.fill(last, record.state)
        return dataclasses.replace(record, metrics=[*others, filled])

    def tidy(self, iteration: int) -> None:
        if self._exploiters is not None:
            self._exploiters.tidy(iteration)

    def outcome(self, record: Record[PolicyFile, SampledPayoffs]) -> str:
        last = record.metrics[-1]
        known = describe_bounds(last) if is_known(last) else _UNKNOWN
        return f"{self.say_stopped(record.state.iteration)} {known}"

    def summary(self, record: Record[PolicyFile, SampledPayoffs]) -> str:
        return self.outcome(record)

    def _make_exploiters(
        self, program: NeuPLProgramConfig, directory: Path, warn: Callable[[str], None], placing: Placing
    ) -> Exploiters | None:
        if not program.exploiter_steps:
            return None
        return Exploiters(self.config, program, self._name, directory, warn, placing)

    def _store(self, player: int, index: int, policy: StoredPolicy) -> PolicyFile:
        """Writes a member where the next checkpoint keeps it."""
        (self._checkpoints / "policies").mkdir(parents=True, exist_ok=True)
        path = policy_files.write(
            self._checkpoints, policy, player, index, lambda policy, _: stored.pack(policy), lasting=False
        )
        return PolicyFile(path)


def _known_payoffs(responses: Sequence[Response[PolicyFile]]) -> SampledPayoffs | None:
    """Returns the payoffs that the program has estimated; their errors are not known."""
    payoffs = responses[0].payoffs
    if payoffs is None:
        return None
    # Pairs are drawn uniformly, so that each has had about the same number of games.
    each = int(responses[0].metrics[EVALUATION_GAMES]) // payoffs[0].size
    return SampledPayoffs(payoffs, np.full(payoffs.shape[1:], each), np.full_like(payoffs, np.nan))
