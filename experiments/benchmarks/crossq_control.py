"""Continuous control after so many env steps: our CrossQ, sbx-rl's, and Acme's own SAC.

python -m experiments.benchmarks.crossq_control --steps=50000 --seeds=0,1,2 --results_dir=runs/control

Every run is a process of its own, on the CPU: networks with two hidden layers of `--width`, as many env steps
of random or untrained behaviour before the first gradient step, then one gradient step of 256 transitions for
each env step. Evaluations are of 10 deterministic episodes from initial states of their own. The time of
training is the process's from its start to its end, start-up and compilation included, less its evaluations,
for every side.

Results are kept in `--results_dir`, one file a run, and finished ones are not run again: it can be cut short
and gone on with, and two may share the directory, with other seeds and other `--cores`. For each task and
seed all sides run one after the other, so that what there is can be compared.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from absl import flags

from experiments import command_line
from experiments.benchmarks import control_runs, number_lists, peer_environment, table
from experiments.benchmarks.control_runs import Job, Result, Settings

flags.DEFINE_list(
    "tasks",
    ["dm_control:cheetah:run", "dm_control:walker:walk", "gymnasium:HalfCheetah-v5"],
    "dm_control:DOMAIN:TASK or gymnasium:ID.",
)
flags.DEFINE_list("sides", list(control_runs.SIDES), f"Of {', '.join(control_runs.SIDES)}.")
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

_NAMES = {"ours": "acme_psro CrossQ", "sbx": "sbx-rl CrossQ", "acme_sac": "Acme SAC"}

# By side, then seed.
Results = Mapping[str, Mapping[int, Result]]


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
    run: control_runs.Runner = control_runs.run,
) -> int:
    """Runs what has no result yet, and returns how many failed.

    Raises:
      ValueError: a result is of other settings.
    """
    began, failed = time.monotonic(), 0
    for job in todo:
        if control_runs.read(directory, job, settings) is not None:
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
            control_runs.write(directory, job, settings, result)
            said = f"return {result.final_return:,.1f}, training {result.training_seconds:,.0f} s"
        print(f"{job.name}: {said}", file=sys.stderr, flush=True)
    return failed


def print_task(task: str, sides: Results, settings: Settings) -> None:
    """Prints the table of a task and its bars."""
    rows = []
    for side, runs in sides.items():
        done = list(runs.values())
        cells = [mean_and_error([each.returns[mark] for each in done]) for mark in settings.marks]
        training = mean_and_error([each.training_seconds for each in done])
        evaluation = mean_and_error([each.evaluation_seconds for each in done])
        rows.append([_NAMES[side], str(len(done)), *cells, training, evaluation])
    columns = ["mean return ± standard error", "seeds", *(f"at {mark:,}" for mark in settings.marks)]
    print(task)
    table.print_table([*columns, "training s", "evaluation s"], rows)
    print_bars(task, sides)
    print()


def mean_and_error(values: Sequence[float]) -> str:
    """Mean and standard error; the mean alone of one value, a dash of none."""
    if len(values) < 2:
        return f"{values[0]:,.1f}" if values else "-"
    return f"{statistics.mean(values):,.1f} ± {_error(values):,.1f}"


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def print_bars(task: str, sides: Results) -> None:
    """Prints whether we keep up with each peer, over the seeds that both have."""
    for peer in ("sbx", "acme_sac"):
        ours, theirs = sides.get("ours", {}), sides.get(peer, {})
        seeds = sorted(ours.keys() & theirs.keys())
        over = f"{len(seeds)} seeds" if len(seeds) != 1 else "1 seed"
        what = f"{task}, return no lower than {_NAMES[peer]}'s by more than a standard error, {over}"
        if not seeds:
            print(f"bar: {what}: not measured")
            continue
        our_returns, their_returns = ([each[seed].final_return for seed in seeds] for each in (ours, theirs))
        lead = statistics.mean(our_returns) - statistics.mean(their_returns)
        error = math.hypot(_error(our_returns), _error(their_returns))
        table.print_bar(f"{what}: {lead:+,.1f} ± {error:,.1f}", lead >= -error)
        times = [statistics.mean(each[seed].training_seconds for seed in seeds) for each in (ours, theirs)]
        shorter = f"{times[0]:,.0f} s against {times[1]:,.0f} s, {table.speedup(*times)}"
        table.print_bar(f"{task}, training no longer than {_NAMES[peer]}'s: {shorter}", times[0] <= times[1])


def check_flags() -> tuple[list[int], Settings]:
    """The seeds and the settings.

    Raises:
      ValueError: a flag has a value that is not allowed.
    """
    counts = ("steps", "width", "learning_starts", "evaluation_period", "episodes")
    table.check_counts(*counts, "max_seconds")
    for side in FLAGS.sides:
        if side not in control_runs.SIDES:
            raise ValueError(f"no side {side!r}: --sides takes {', '.join(control_runs.SIDES)}.")
    for task in FLAGS.tasks:
        if not task.startswith(("dm_control:", "gymnasium:")):
            raise ValueError(f"no task {task!r}: --tasks takes dm_control:DOMAIN:TASK or gymnasium:ID.")
    if not FLAGS.sides or not FLAGS.tasks:
        raise ValueError("there is nothing to run: give --sides and --tasks.")
    return number_lists.whole_numbers("seeds", 0), Settings(*(getattr(FLAGS, name) for name in counts))


def pin() -> None:
    """Keeps this process, and so every run, to the CPUs asked for.

    Raises:
      ValueError: there are no such CPUs.
    """
    if not FLAGS.cores:
        return
    cores = number_lists.whole_numbers("cores", 0)
    if missing := set(cores) - set(control_runs.available_cores()):
        there = ", ".join(map(str, control_runs.available_cores()))
        raise ValueError(f"--cores names CPU {min(missing)}, which this process may not use; it has {there}.")
    os.sched_setaffinity(0, cores)


def main() -> None:
    """Runs what is missing and prints what there is."""
    with command_line.bad_input():
        seeds, settings = check_flags()
        pin()
        directory = Path(FLAGS.results_dir).absolute()
        todo = list(jobs(FLAGS.sides, FLAGS.tasks, seeds))
        missing = [job for job in todo if control_runs.read(directory, job, settings) is None]
        peer = peer_environment.from_flags() if any(job.side == "sbx" for job in missing) else None
    directory.mkdir(parents=True, exist_ok=True)
    # So that a run does not outlive a benchmark that is cut short.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed = run_missing(todo, settings, directory, peer, FLAGS.max_seconds)
    found = {job: control_runs.read(directory, job, settings) for job in todo}
    print(
        f"continuous control, {settings.steps:,} env steps, networks of {settings.width} and "
        f"{settings.width}; training s: the whole process less its evaluations"
    )
    table.print_machine()
    cores = sorted({str(list(result.cores)) for result in found.values() if result})
    print(f"CPUs of the runs: {' or '.join(cores) or 'none ran'}\n")
    for task in FLAGS.tasks:
        sides: dict[str, dict[int, Result]] = {side: {} for side in FLAGS.sides}
        for job, result in found.items():
            if job.environment == task and result is not None:
                sides[job.side][job.seed] = result
        print_task(task, sides, settings)
    if failed:
        sys.exit(f"{failed} of the runs failed; the same command tries again")


if __name__ == "__main__":
    command_line.run(main)
