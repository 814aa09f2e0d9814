"""Population runs in games of any size, with sampled payoffs.

Policies are files, payoffs are estimated by simulation, and gains are lower bounds: trained responses reach
them, but an exact best response may gain more.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyspiel

from acme_psro.agent_runs.budget import check_budget
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.games import playing
from acme_psro.games.identity import name_game
from acme_psro.games.loading import load_game
from acme_psro.meta_game import workers
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.sampled import SampledMetaGame, SimulationConfig
from acme_psro.meta_game.workers import SimulationError
from acme_psro.oracles.base import Response
from acme_psro.oracles.launchpad import sampled as launchpad_sampled
from acme_psro.oracles.launchpad.tasks import LaunchpadConfig, tidy_tasks
from acme_psro.policies import decoders
from acme_psro.policies.stored import PolicyFile
from acme_psro.population_runs import responses
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.meta_regret import RegretWarning
from acme_psro.population_runs.metrics import (
    BOUND_ERRORS,
    Row,
    fill_gains,
    is_known,
    sampled_row,
    wall_seconds,
)
from acme_psro.psro import loop, meta_solving
from acme_psro.psro.loop import PSROState
from acme_psro.solvers import check_solver_fits, get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.checkpoint import Record
from acme_psro.system.supervision import JobError
from agents.registry import response_agents
from agents.settings import check_known

State = PSROState[PolicyFile, SampledPayoffs]


class SampledRun(PopulationRun[PolicyFile, SampledPayoffs]):
    """A run with sampled payoffs, see `acme_psro.population_runs.base.PopulationRun`.

    Args:
      config: the run's configuration.
      directory: the run's directory.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line for each failure of a program, and if the meta-solver's answer is no
        equilibrium.

    Raises:
      ValueError: a setting is not allowed, the meta-solver does not fit the game, or the game offers no
        observation tensor for networks.
    """

    failures = (JobError, SimulationError)

    def __init__(
        self, config: PSROConfig, directory: Path, started: float, warn: Callable[[str], None]
    ) -> None:
        settings = SimulationConfig(**config.simulation)
        game = load_game(config.game)
        utility = game.get_type().utility
        zero_sum = utility == pyspiel.GameType.Utility.ZERO_SUM
        check_solver_fits(config.meta_solver, game.num_players(), zero_sum)
        # Networks need tensors. A game without any is rejected here, before programs start.
        playing.tensor_of(game)
        self.config = config
        self._game = game
        self._constant_sum = zero_sum or utility == pyspiel.GameType.Utility.CONSTANT_SUM
        self._regret_warning = RegretWarning(config.meta_solver, warn)
        self._settings = settings
        self._workers = workers.Workers(settings.payoff_workers, decoders.DECODERS)
        self._checkpoints = directory / "checkpoints"
        self._responses, self._exploiters = directory / "responses", directory / "exploiters"
        self._started = started
        name = name_game(config.game)
        self.form = formats.of_files(name)
        self.meta_game = SampledMetaGame(
            name,
            self._workers.simulate,
            settings,
            get_solver(config.meta_solver),
            config.seed,
            self._place_policy,
            # The programs that train responses come next, and they need the memory of the workers.
            release=self._workers.close,
        )
        self.loop = meta_solving.make_loop(self.meta_game, get_solver(config.meta_solver))
        launchpad = LaunchpadConfig(**config.launchpad)
        make_oracle = functools.partial(launchpad_sampled.make_oracle, self.meta_game)
        learn = responses.make_run_programs(config, warn)
        self.oracle = self._exploit = make_oracle(
            self._responses, learn, self._place_policy, config.tolerance, launchpad.trembles
        )
        if launchpad.exploiter_agent:
            check_exploiters(config, launchpad)
            learn = responses.make_run_programs(config, warn, exploiters=True)
            self._exploit = make_oracle(self._exploiters, learn, self._place_policy, config.tolerance)

    def close(self) -> None:
        self._workers.close()

    def describe(self) -> str:
        return (
            f"{self._game}: payoffs are simulated (workers: {self._settings.payoff_workers}); what is said "
            "of exploitability is a lower bound"
        )

    def converged(self, state: State) -> bool:
        # Gains are only lower bounds. If no program found a gain, a further program may still find one.
        return False

    def add_row(self, before: Sequence[Row], state: State, seconds: float) -> list[Row]:
        wall = wall_seconds(before, seconds, time.monotonic() - self._started)
        # This iteration's responses were trained against the mixture of the row before.
        self._regret_warning.check(state.iteration, state.payoffs.mean, state.meta_strategy)
        known = [*before[:-1], self._fill_gains(before[-1], state.responses)] if before else []
        return [*known, sampled_row(state, seconds, wall)]

    def conclude(self, record: Record[PolicyFile, SampledPayoffs]) -> Record[PolicyFile, SampledPayoffs]:
        """Trains exploiters of the final mixture and completes its row with their gains.

        They are trained as the responses of the next iteration would be, or by an agent of their own, but
        they join no population.
        """
        *others, last = record.metrics
        if is_known(last):
            return record
        state = record.state
        # With the next iteration's key the oracle writes to that iteration's directory. If the run is later
        # continued with more iterations, these programs are found finished and are not trained again. Those
        # of an agent of their own have a directory of their own.
        key = loop.iteration_key(self.config.seed, state.iteration)
        exploiters = self._exploit(key, loop.tasks_of(state))
        return dataclasses.replace(record, metrics=[*others, self._fill_gains(last, exploiters)])

    def tidy(self, iteration: int) -> None:
        key = loop.iteration_key(self.config.seed, iteration - 1)
        for directory in (self._responses, self._exploiters):
            tidy_tasks(directory, key, self._game.num_players())

    def outcome(self, record: Record[PolicyFile, SampledPayoffs]) -> str:
        return f"{self.say_stopped(record.state.iteration)} {describe_bounds(record.metrics[-1])}"

    def summary(self, record: Record[PolicyFile, SampledPayoffs]) -> str:
        return self.outcome(record)

    def _fill_gains(self, row: Row, exploiters: Sequence[Response[PolicyFile]]) -> Row:
        return fill_gains(row, exploiters, self._constant_sum)

    def _place_policy(self, player: int, index: int) -> Path:
        return checkpoint.policy_path(self._checkpoints, player, index)


def check_exploiters(config: PSROConfig, settings: LaunchpadConfig) -> None:
    """Checks the agent of exploiters, and that they learn something.

    Raises:
      ValueError: there is no such agent, or its budget ends before it learns.
    """
    check_known("exploiter agent", settings.exploiter_agent, response_agents())
    steps = settings.exploiter_steps or settings.actor_steps
    program = AgentRunConfig(settings.exploiter_agent, f"openspiel:{config.game}", steps, distributed=True)
    check_budget(program, program.replay_overrides(), "set=launchpad.exploiter_steps")


def describe_bounds(row: Row) -> str:
    """Returns a sentence on the exploitability of a row's mixture, of which lower bounds are known."""
    figures = ", ".join(
        f"{name} at least {row[f'{column}_lower']:.4f} ± {row[f'{column}_stderr']:.4f}"
        for name, column in (("Exploitability", "exploitability"), ("NashConv", "nash_conv"))
    )
    return (
        f"{figures} (lower bounds: what trained exploiters gain in simulated games, less "
        f"{BOUND_ERRORS:g} standard errors)."
    )
