"""Best responses as runs of one agent: what the programs of the Launchpad oracle are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from acme_psro import supervision
from acme_psro.oracles.launchpad import LaunchpadConfig, Learned, Program, RunPrograms
from experiments.agent_runs import directory, launch, tables
from experiments.agent_runs.config import AgentRunConfig
from experiments.configs import PSROConfig

_EVALUATIONS = 5


def make_run_programs(config: PSROConfig, note: Callable[[str], None]) -> RunPrograms:
    """What runs programs as children of this process, and goes on with those that were begun before.

    Args:
      config: of PSRO.
      note: is told, in one line each, what goes wrong.

    Raises:
      ValueError: a setting that is not allowed.
    """
    settings = LaunchpadConfig(**config.launchpad)

    def run_programs(programs: Sequence[Program]) -> list[Learned]:
        runs = [make_run_config(config, settings, program) for program in programs]
        jobs = [
            launch.make_job(run, program.directory, f"player {program.player}'s response")
            for run, program in zip(runs, programs, strict=True)
        ]
        supervision.run_all(
            jobs,
            at_once=settings.max_parallel_programs,
            hang_seconds=launch.HANG_SECONDS,
            on_event=lambda event: note(f"{event.job}: {event.message}") if event.message else None,
        )
        return [_read(run, program) for run, program in zip(runs, programs, strict=True)]

    return run_programs


def make_run_config(config: PSROConfig, settings: LaunchpadConfig, program: Program) -> AgentRunConfig:
    """The run of one agent that a program is."""
    return AgentRunConfig(
        agent=config.agent,
        environment=f"openspiel:{program.game}",
        actor_steps=settings.actor_steps,
        seed=program.seed,
        player=program.player,
        opponent=str(program.opponents),
        agent_settings=config.agent_settings,
        evaluate_every=max(1, settings.actor_steps // _EVALUATIONS),
        distributed=True,
        num_actors=settings.actors_per_response,
        games_per_actor=settings.games_per_actor,
        lp_launch_type=settings.lp_launch_type,
    )


def _read(run: AgentRunConfig, program: Program) -> Learned:
    finished = directory.read_finished(program.directory, run)
    if finished is None:
        raise RuntimeError(f"player {program.player}'s response was not finished; see {program.directory}.")
    rows = tables.read(program.directory / "learner.csv")
    counts = finished.counts
    return Learned(
        directory.policy_file(program.directory),
        episodes=int(counts.get("actor_episodes", 0)),
        env_steps=int(counts.get("actor_steps", 0)),
        gradient_steps=int(counts.get("learner_gradient_steps", 0)),
        metrics=rows[-1] if rows else {},
    )
