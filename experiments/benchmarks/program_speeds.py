"""Env steps per second of programs on Ray and of Launchpad programs that learn the same best response.

python -m experiments.benchmarks.program_speeds --game=kuhn_poker --actor_steps=20000 --rounds=3

The opponents play uniformly. Both programs have the same agent, replay and flow control, hence the same
number of gradient steps for each decision. Their runs alternate, so that both suffer if the machine is slow.
The speed is that of training: decisions after the first gradient step, divided by the seconds from the end of
this step to the last one. The start is reported separately, from the start of the child process to the end of
the first gradient step.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from absl import flags

from acme_psro.agent_runs import directory, program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.commands import command_line
from acme_psro.system import supervision, tables
from acme_psro.system.executors.placing import LOCAL
from acme_psro.system.jobs import Job
from experiments.benchmarks.shared import table

flags.DEFINE_string("game", "kuhn_poker", "OpenSpiel game string.")
flags.DEFINE_integer("actor_steps", 20_000, "Decisions of a program.")
flags.DEFINE_integer("num_actors", 1, "Actors of a program.")
flags.DEFINE_integer("games_per_actor", 16, "Games that an actor plays side by side.")
flags.DEFINE_integer("rounds", 3, "Runs of each program; medians are reported.")

FLAGS = flags.FLAGS

_LAUNCHPAD, _RAY = "Launchpad", "Ray"
_LEAST_SHARE = 0.8


class Measured(NamedTuple):
    """Measurements of one run.

    Attributes:
      steps_per_second: decisions per second of training.
      start_seconds: seconds to the end of the first gradient step.
    """

    steps_per_second: float
    start_seconds: float


def main() -> None:
    """Runs the programs in turn and prints their speeds."""
    with command_line.bad_input():
        table.check_counts("actor_steps", "num_actors", "games_per_actor", "rounds")
    print(f"programs in {FLAGS.game}, {FLAGS.actor_steps:,} decisions, {FLAGS.num_actors} actors")
    table.print_machine()
    found: dict[str, list[Measured]] = {_LAUNCHPAD: [], _RAY: []}
    for number in range(FLAGS.rounds):
        for name, runs in found.items():
            runs.append(measure(name, seed=number))
            print(f"  {name:<10} {runs[-1].steps_per_second:8.0f} steps/s", flush=True)
    speeds = {name: statistics.median(run.steps_per_second for run in runs) for name, runs in found.items()}
    for name, runs in found.items():
        start = statistics.median(run.start_seconds for run in runs)
        print(f"{name:<10} {speeds[name]:8.0f} steps/s   {start:6.1f} s to the first gradient step")
    share = speeds[_RAY] / speeds[_LAUNCHPAD]
    print(f"Ray's speed is {share:.2f} of Launchpad's (at least {_LEAST_SHARE} is asked for)")


def measure(name: str, seed: int) -> Measured:
    """Runs a program in a directory of its own and returns what was measured.

    Args:
      name: the kind of program.
      seed: seed of the run.
    """
    config = AgentRunConfig(
        agent="crossq",
        environment=f"openspiel:{FLAGS.game}",
        actor_steps=FLAGS.actor_steps,
        seed=seed,
        evaluate_every=FLAGS.actor_steps,
        distributed=True,
        num_actors=FLAGS.num_actors,
        games_per_actor=FLAGS.games_per_actor,
    )
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        supervision.run_all([make_job(name, config, run)], hang_seconds=program_jobs.HANG_SECONDS)
        finished = directory.read_finished(run, config)
        assert finished is not None, "a job that is done has finished"
        rows = tables.read(run / "learner.csv")
        (start,) = tables.read(run / "starts.csv")
    # The first row is written after the first step, whose own seconds do not count.
    steps = rows[-1]["actor_steps"] - rows[0]["actor_steps"]
    return Measured(steps / rows[-1]["learner_walltime"], start["first_step_seconds"])


def make_job(name: str, config: AgentRunConfig, run: Path) -> Job:
    """Makes the job of one kind of program."""
    if name == _RAY:
        return program_jobs.make_ray_job(LOCAL, config, run)
    return program_jobs.make_job(config, run)


if __name__ == "__main__":
    command_line.run(main)
