"""Programs of the Launchpad oracle, each of which is a run of one agent."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from acme_psro.agent_runs import directory, placement, program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import snapshots
from acme_psro.oracles.base import Counts
from acme_psro.oracles.launchpad.config import LaunchpadConfig
from acme_psro.oracles.launchpad.tasks import Learned, Program, RunPrograms
from acme_psro.population_runs.config import PSROConfig
from acme_psro.system import supervision, tables
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.placing import LOCAL, Placing

# Five evaluations are enough for a learning curve. If a plateau may end a program, evaluations must be much
# closer together and more exact, so that a plateau is noticed long before the budget is spent.
_EVALUATIONS = 5
_EVALUATIONS_PER_PATIENCE = 10
_EPISODES = 10
_EPISODES_FOR_PLATEAU = 100


class Learner(NamedTuple):
    """Agent of programs: its name, and the settings that replace those of its preset."""

    agent: str
    settings: dict[str, Any]


def make_run_programs(
    config: PSROConfig, note: Callable[[str], None], exploiters: bool = False, placing: Placing = LOCAL
) -> RunPrograms:
    """Returns a function that runs programs, here or on a cluster, and resumes interrupted ones.

    Args:
      config: the population run's configuration.
      note: called with one line for each failure.
      exploiters: True if the programs learn exploiters, by the agent and the budget that the configuration
        names for them.
      placing: the machines on which programs run.

    Raises:
      ValueError: a setting is not allowed.
    """
    settings = LaunchpadConfig(**config.launchpad)
    learner = Learner(config.agent, config.agent_settings)
    if exploiters and settings.exploiter_agent:
        learner = Learner(settings.exploiter_agent, {})
        steps = settings.exploiter_steps or settings.actor_steps
        settings = dataclasses.replace(settings, actor_steps=steps)
    if settings.plateau_min_improvement and not settings.plateau_patience:
        raise ValueError("plateau_min_improvement needs a plateau_patience of at least 2 evaluations.")
    placement.check(settings.learner_devices)
    is_on_ray = settings.program == "ray"
    # The actors of programs on a cluster are on its machines, of which Ray knows more.
    if not placing.is_remote:
        placement.check_actors(
            "actors_per_response", settings.actors_per_response, settings.max_parallel_programs
        )

    def run_programs(programs: Sequence[Program]) -> list[Learned]:
        # Devices go to programs in turn, so that programs that run side by side get different devices.
        devices = placement.assign(settings.learner_devices, len(programs))
        sharing = placement.count_sharing(devices, settings.max_parallel_programs)
        if placing.is_remote:
            sharing = [placing.jobs_per_gpu] * len(programs)
        runs = [
            make_run_config(learner, settings, program, visible)
            for program, visible in zip(programs, devices, strict=True)
        ]
        make_job = (
            functools.partial(program_jobs.make_ray_job, placing) if is_on_ray else program_jobs.make_job
        )
        # A program on Ray is driven from here, wherever its parts are.
        executor = make_executor(LOCAL if is_on_ray else placing)
        jobs = [
            make_job(run, program.directory, f"player {program.player}'s response", number)
            for run, program, number in zip(runs, programs, sharing, strict=True)
        ]
        supervision.run_all(
            jobs,
            at_once=executor.room(settings.max_parallel_programs),
            hang_seconds=program_jobs.HANG_SECONDS,
            on_event=lambda event: note(f"{event.job}: {event.message}") if event.message else None,
            executor=executor,
        )
        return [_read_result(run, program) for run, program in zip(runs, programs, strict=True)]

    return run_programs


def make_run_config(
    learner: Learner, settings: LaunchpadConfig, program: Program, learner_devices: str = ""
) -> AgentRunConfig:
    """Returns the configuration of the agent run by which a program learns its response.

    Args:
      learner: the agent that learns.
      settings: the budget and the processes of a program.
      program: the best response to find.
      learner_devices: the devices that are visible to the learner, as in `LaunchpadConfig`.
    """
    patience = settings.plateau_patience
    evaluations = _EVALUATIONS_PER_PATIENCE * patience if patience else _EVALUATIONS
    return AgentRunConfig(
        agent=learner.agent,
        environment=f"openspiel:{program.game}",
        actor_steps=settings.actor_steps,
        seed=program.seed,
        player=program.player,
        opponent=str(program.opponents),
        agent_settings=learner.settings,
        evaluate_every=max(1, settings.actor_steps // evaluations),
        evaluation_episodes=_EPISODES_FOR_PLATEAU if patience else _EPISODES,
        plateau_patience=patience,
        plateau_min_improvement=settings.plateau_min_improvement,
        distributed=True,
        num_actors=settings.actors_per_response,
        games_per_actor=settings.games_per_actor,
        lp_launch_type=settings.lp_launch_type,
        learner_devices=learner_devices,
        snapshots=settings.snapshots,
    )


def _read_result(run: AgentRunConfig, program: Program) -> Learned:
    """Reads the policies, counts and last metrics of a finished program.

    Raises:
      RuntimeError: the program has not finished.
    """
    finished = directory.read_finished(program.directory, run)
    if finished is None:
        raise RuntimeError(f"player {program.player}'s response was not finished; see {program.directory}.")
    rows = tables.read(program.directory / "learner.csv")
    counts = finished.counts
    return Learned(
        directory.policy_file(program.directory),
        Counts(
            episodes=int(counts.get("actor_episodes", 0)),
            env_steps=int(counts.get("actor_steps", 0)),
            gradient_steps=int(counts.get("learner_gradient_steps", 0)),
        ),
        metrics=rows[-1] if rows else {},
        snapshots=snapshots.find(program.directory),
    )
