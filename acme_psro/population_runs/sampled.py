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
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.sampled import SampledMetaGame, SimulationConfig
from acme_psro.meta_game.simulators import SimulationError
from acme_psro.oracles.base import Response
from acme_psro.oracles.launchpad import sampled as launchpad_sampled
from acme_psro.oracles.launchpad.config import LaunchpadConfig
from acme_psro.oracles.launchpad.tasks import tidy_tasks
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
from acme_psro.population_runs.simulating import make_simulator
from acme_psro.psro import joint, loop, meta_solving
from acme_psro.psro.loop import PSROState
from acme_psro.psro.registry import get_loop
from acme_psro.solvers import check_solver_fits, get_solver
from acme_psro.solvers.properties import Concept, properties_of
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Record
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.executors.pool_workers import WorkersLostError
from acme_psro.system.jobs import JobError
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
      placing: the machines on which programs run.

    Raises:
      ValueError: a setting is not allowed, the meta-solver does not fit the game, or the game offers no
        observation tensor for networks.
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
        settings = SimulationConfig(**config.simulation)
        game = load_game(config.game)
        utility = game.get_type().utility
        zero_sum = utility == pyspiel.GameType.Utility.ZERO_SUM
        check_solver_fits(config.meta_solver, game.num_players(), zero_sum)
        self._concept = properties_of(config.meta_solver).concept
        if self._concept is Concept.CE:
            raise ValueError(
                f"meta-solver {config.meta_solver} needs --payoffs=exact: with sampled ones there is one "
                "response a player, for coarse correlated equilibria such as max_gini_cce."
            )
        # Networks need tensors. A game without any is rejected here, before programs start.
        playing.tensor_of(game)
        self.config = config
        self._game = game
        self._constant_sum = zero_sum or utility == pyspiel.GameType.Utility.CONSTANT_SUM
        self._regret_warning = RegretWarning(config.meta_solver, warn)
        self._workers = make_simulator(config, placing)
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
        self._is_joint = get_loop(config.loop).is_joint
        make_loop = joint.make_sampled_loop if self._is_joint else meta_solving.make_loop
        self.loop = make_loop(self.meta_game, get_solver(config.meta_solver))
        launchpad = LaunchpadConfig(**config.launchpad)
        make_oracle = functools.partial(launchpad_sampled.make_oracle, self.meta_game)
        learn = responses.make_run_programs(config, warn, placing=placing)
        self.oracle = self._exploit = make_oracle(
            self._responses, learn, self._place_policy, config.tolerance, launchpad.trembles
        )
        if launchpad.exploiter_agent:
            check_exploiters(config, launchpad)
            learn = responses.make_run_programs(config, warn, exploiters=True, placing=placing)
            self._exploit = make_oracle(self._exploiters, learn, self._place_policy, config.tolerance)

    def close(self) -> None:
        self._workers.close()

    def describe(self) -> str:
        return (
            f"{self._game}: payoffs are simulated ({self._workers.describe()}); what is said "
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
        return [*known, sampled_row(state, seconds, wall, concept=self._concept)]

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
        bounds = describe_bounds(record.metrics[-1], self._is_joint)
        return f"{self.say_stopped(record.state.iteration)} {bounds}"

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


def describe_bounds(row: Row, is_joint: bool = False) -> str:
    """Returns a sentence on the exploitability of a row's mixture, of which lower bounds are known.

    Args:
      row: the row.
      is_joint: True if the mixture is a joint distribution, so that the players' gains add up to its CCE gap.
    """
    columns = (("Exploitability", "exploitability"), ("NashConv", "nash_conv"))
    figures = ", ".join(
        f"{name} at least {row[f'{column}_lower']:.4f} ± {row[f'{column}_stderr']:.4f}"
        for name, column in ((("CCE gap", "nash_conv"),) if is_joint else columns)
    )
    return (
        f"{figures} (lower bounds: what trained exploiters gain in simulated games, less "
        f"{BOUND_ERRORS:g} standard errors)."
    )
