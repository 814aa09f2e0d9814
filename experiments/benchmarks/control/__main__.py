"""Returns on continuous control tasks of our agents, sbx-rl's CrossQ and Acme's own SAC.

python -m experiments.benchmarks.control --steps=50000 --seeds=0,1,2 --results_dir=runs/control
python -m experiments.benchmarks.control --judged=conditional_mpo --tasks=dm_control:cartpole:swingup

Every run is a separate process on the CPU. All networks have two hidden layers of `--width`. All sides do the
same number of env steps with random or untrained behaviour before the first gradient step, and then one
gradient step of 256 transitions for each env step. Apart from that, our agents have the settings of
`run_agent`. Evaluations consist of 10 deterministic episodes from separate initial states. The training time
of every side is the time from the start to the end of the process, including start-up and compilation, minus
its evaluations.

Results are stored in `--results_dir`, one file for each run, and finished runs are not repeated. So the
benchmark can be interrupted and resumed, and two benchmarks with different seeds and `--cores` may share the
directory. For each task and seed all sides run one after the other, so that partial results can be compared.
The bars compare the `--judged` agent with its peers, over the seeds that both have finished.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from acme_psro.commands import command_line
from experiments.benchmarks.control import report, runs
from experiments.benchmarks.control.runs import Job, Result, Settings
from experiments.benchmarks.peers import environment as peer_environment
from experiments.benchmarks.shared import number_lists, table

flags.DEFINE_list(
    "tasks",
    ["dm_control:cheetah:run", "dm_control:walker:walk", "gymnasium:HalfCheetah-v5"],
    "dm_control:DOMAIN:TASK or gymnasium:ID.",
)
flags.DEFINE_enum("judged", "crossq", list(runs.AGENTS), "Our agent whose bars are printed.")
flags.DEFINE_list(
    "sides", None, f"Sides to run: {', '.join(runs.SIDES)}; by default, that of --judged and its peers."
)
flags.DEFINE_list("seeds", ["0", "1", "2"], "Random seeds; each is a run of every side.")
flags.DEFINE_integer("steps", 50_000, "Env steps of a run.")
flags.DEFINE_integer("width", 256, "Width of the two hidden layers of every network.")
flags.DEFINE_integer("learning_starts", 5_000, "Env steps before the first gradient step.")
flags.DEFINE_integer(
    "evaluation_period", 10_000, "Env steps between evaluations; there is also one at the end."
)
flags.DEFINE_integer("episodes", 10, "Number of episodes of an evaluation.")
flags.DEFINE_string("results_dir", "runs/control", "Directory in which results are stored.")
flags.DEFINE_float("max_seconds", None, "Time after which no further run begins; by default, all are run.")
flags.DEFINE_list("cores", [], "Numbers of the CPUs that runs may use; by default, all.")

FLAGS = flags.FLAGS


def jobs(sides: Sequence[str], tasks: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    """Yields all runs in order: by seed, then by task, then by side."""
    for seed, task, side in itertools.product(seeds, tasks, sides):
        yield Job(side, task, seed)


def run_missing(
    todo: Sequence[Job],
    settings: Settings,
    directory: Path,
    peer: Path | None,
    max_seconds: float | None,
    run: runs.Runner = runs.run,
) -> int:
    """Runs all jobs that have no result yet, and returns the number of failed jobs.

    Args:
      todo: the jobs in the order in which to run them.
      settings: settings of all runs.
      directory: directory of the results.
      peer: interpreter of the peer's environment; needed by the side `sbx`.
      max_seconds: time after which no further run begins, or None.
      run: function that runs a job.

    Raises:
      ValueError: a stored result has other settings.
    """
    began, failed = time.monotonic(), 0
    for job in todo:
        if runs.read(directory, job, settings) is not None:
            continue
        if max_seconds is not None and time.monotonic() - began >= max_seconds:
            break
        try:
            result = run(job, settings, directory, peer)
        except (RuntimeError, OSError, KeyError) as error:
            # OSError and KeyError mean that the table of evaluations is missing or lacks a column. A failed
            # job does not stop the remaining ones.
            failed += 1
            said = f"FAILED: {error}"
        else:
            runs.write(directory, job, settings, result)
            said = f"return {result.final_return:,.1f}, training {result.training_seconds:,.0f} s"
        print(f"{job.name}: {said}", file=sys.stderr, flush=True)
    return failed


def sides_of(judged: str, named: Sequence[str] | None) -> list[str]:
    """Returns the sides to run: the named ones, or the agent of `--judged` and its peers.

    Raises:
      ValueError: a side is unknown, or the agent of `--judged` is not among the named sides.
    """
    if named is None:
        return [judged, *(bar.peer for bar in report.BARS[judged])]
    for side in named:
        if side not in runs.SIDES:
            raise ValueError(f"no side {side!r}: --sides takes {', '.join(runs.SIDES)}.")
    if judged not in named:
        raise ValueError(
            f"--judged={judged} is not among --sides={','.join(named)}: add it, or judge another."
        )
    return list(named)


def check_flags() -> tuple[list[str], list[int], Settings]:
    """Checks the flags and returns the sides, the seeds and the settings.

    Raises:
      ValueError: a flag has an invalid value.
    """
    counts = ("steps", "width", "learning_starts", "evaluation_period", "episodes")
    table.check_counts(*counts, "max_seconds")
    for task in FLAGS.tasks:
        if not task.startswith(("dm_control:", "gymnasium:")):
            raise ValueError(f"no task {task!r}: --tasks takes dm_control:DOMAIN:TASK or gymnasium:ID.")
    if not FLAGS.tasks:
        raise ValueError("there is nothing to run: give --tasks.")
    settings = Settings(*(getattr(FLAGS, name) for name in counts))
    return sides_of(FLAGS.judged, FLAGS.sides), number_lists.whole_numbers("seeds", 0), settings


def pin() -> None:
    """Restricts this process, and so every run, to the CPUs of `--cores`.

    Raises:
      ValueError: the process may not use one of these CPUs.
    """
    if not FLAGS.cores:
        return
    cores = number_lists.whole_numbers("cores", 0)
    if missing := set(cores) - set(runs.available_cores()):
        there = ", ".join(map(str, runs.available_cores()))
        raise ValueError(f"--cores names CPU {min(missing)}, which this process may not use; it has {there}.")
    os.sched_setaffinity(0, cores)


def main() -> None:
    """Runs all missing jobs and prints all results."""
    with command_line.bad_input():
        sides, seeds, settings = check_flags()
        pin()
        directory = Path(FLAGS.results_dir).absolute()
        todo = list(jobs(sides, FLAGS.tasks, seeds))
        missing = [job for job in todo if runs.read(directory, job, settings) is None]
        peer = peer_environment.from_flags() if any(job.side == "sbx" for job in missing) else None
    directory.mkdir(parents=True, exist_ok=True)
    # SIGTERM becomes an exception, so that cleanup code ends the current run with the benchmark.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed = run_missing(todo, settings, directory, peer, FLAGS.max_seconds)
    found = {job: runs.read(directory, job, settings) for job in todo}
    print(
        f"continuous control, {settings.steps:,} env steps, networks of {settings.width} and "
        f"{settings.width}; training s: the whole process less its evaluations"
    )
    table.print_machine()
    cores = sorted({str(list(result.cores)) for result in found.values() if result})
    print(f"CPUs of the runs: {' or '.join(cores) or 'none ran'}\n")
    for task in FLAGS.tasks:
        done: dict[str, dict[int, Result]] = {side: {} for side in sides}
        for job, result in found.items():
            if job.environment == task and result is not None:
                done[job.side][job.seed] = result
        report.print_task(task, done, settings, FLAGS.judged)
    if failed:
        sys.exit(f"{failed} of the runs failed; the same command tries again")


if __name__ == "__main__":
    command_line.run(main)
