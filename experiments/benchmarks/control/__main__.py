"""Continuous control after so many env steps: our agents, sbx-rl's CrossQ, and Acme's own SAC.

python -m experiments.benchmarks.control.__main__ --steps=50000 --seeds=0,1,2 --results_dir=runs/control
python -m experiments.benchmarks.control.__main__ --judged=conditional_mpo --tasks=dm_control:cartpole:swingup

Every run is a process of its own, on the CPU: networks with two hidden layers of `--width`, as many env steps
of random or untrained behaviour before the first gradient step, then one gradient step of 256 transitions for
each env step; our agents have `run_agent`'s settings otherwise. Evaluations are of 10 deterministic episodes
from initial states of their own. The time of training is the process's from its start to its end, start-up
and compilation included, less its evaluations, for every side.

Results are kept in `--results_dir`, one file a run, and finished ones are not run again: it can be cut short
and gone on with, and two may share the directory, with other seeds and other `--cores`. For each task and
seed all sides run one after the other, so that what there is can be compared. Bars are of the `--judged`
agent against its peers, over the seeds that both have.
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

from experiments import command_line
from experiments.benchmarks.control import report, runs
from experiments.benchmarks.control.runs import Job, Result, Settings
from experiments.benchmarks.peers import environment as peer_environment
from experiments.benchmarks.shared import number_lists, table

flags.DEFINE_list(
    "tasks",
    ["dm_control:cheetah:run", "dm_control:walker:walk", "gymnasium:HalfCheetah-v5"],
    "dm_control:DOMAIN:TASK or gymnasium:ID.",
)
flags.DEFINE_enum("judged", "crossq", list(runs.AGENTS), "Whose bars are printed.")
flags.DEFINE_list("sides", None, f"Of {', '.join(runs.SIDES)}; by default, the one judged and its peers.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds; each is a run of every side.")
flags.DEFINE_integer("steps", 50_000, "Env steps of a run.")
flags.DEFINE_integer("width", 256, "Of the two hidden layers of every network.")
flags.DEFINE_integer("learning_starts", 5_000, "Env steps before the first gradient step.")
flags.DEFINE_integer(
    "evaluation_period", 10_000, "Env steps between evaluations; there is one at the end, too."
)
flags.DEFINE_integer("episodes", 10, "Episodes of an evaluation.")
flags.DEFINE_string("results_dir", "runs/control", "Where results are kept.")
flags.DEFINE_float("max_seconds", None, "Begin no run after so long; by default, all are run.")
flags.DEFINE_list("cores", [], "Numbers of the CPUs that runs may use; by default, all.")

FLAGS = flags.FLAGS


def jobs(sides: Sequence[str], tasks: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    """All runs, in order: every task for a seed before the next seed, all sides for each."""
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
    """Runs what has no result yet, and returns how many failed.

    Raises:
      ValueError: a result is of other settings.
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
            # The last two: it left no table of evaluations, or one without a column. The others go on.
            failed += 1
            said = f"FAILED: {error}"
        else:
            runs.write(directory, job, settings, result)
            said = f"return {result.final_return:,.1f}, training {result.training_seconds:,.0f} s"
        print(f"{job.name}: {said}", file=sys.stderr, flush=True)
    return failed


def sides_of(judged: str, named: Sequence[str] | None) -> list[str]:
    """The sides to run: those named, or the judged one and its peers.

    Raises:
      ValueError: there is no such side, or the judged one is not named.
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
    """The sides, the seeds and the settings.

    Raises:
      ValueError: a flag has a value that is not allowed.
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
    """Keeps this process, and so every run, to the CPUs asked for.

    Raises:
      ValueError: there are no such CPUs.
    """
    if not FLAGS.cores:
        return
    cores = number_lists.whole_numbers("cores", 0)
    if missing := set(cores) - set(runs.available_cores()):
        there = ", ".join(map(str, runs.available_cores()))
        raise ValueError(f"--cores names CPU {min(missing)}, which this process may not use; it has {there}.")
    os.sched_setaffinity(0, cores)


def main() -> None:
    """Runs what is missing and prints what there is."""
    with command_line.bad_input():
        sides, seeds, settings = check_flags()
        pin()
        directory = Path(FLAGS.results_dir).absolute()
        todo = list(jobs(sides, FLAGS.tasks, seeds))
        missing = [job for job in todo if runs.read(directory, job, settings) is None]
        peer = peer_environment.from_flags() if any(job.side == "sbx" for job in missing) else None
    directory.mkdir(parents=True, exist_ok=True)
    # So that a run does not outlive a benchmark that is cut short.
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
