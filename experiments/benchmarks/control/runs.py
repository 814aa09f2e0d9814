"""Runs of the control benchmark in separate processes, and the files that store their results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from acme_psro.system import files, tables
from experiments.benchmarks.peers import environment as peer_environment
from experiments.benchmarks.peers.scripts import control_task
from experiments.benchmarks.peers.scripts.control_task import ControlTask

# Our agents, as `run_agent` names them, followed by the peers.
AGENTS = ("crossq", "conditional_mpo")
SIDES = (*AGENTS, "sbx", "acme_sac")


class Settings(NamedTuple):
    """Settings that all runs of a comparison have in common.

    Attributes:
      steps: the number of env steps of a run.
      width: width of the two hidden layers of every network.
      learning_starts: env steps before the first gradient step.
      evaluate_every: env steps between evaluations; there is also one at the end.
      episodes: the number of episodes of an evaluation.
    """

    steps: int
    width: int
    learning_starts: int
    evaluate_every: int
    episodes: int

    @property
    def marks(self) -> tuple[int, ...]:
        """Numbers of env steps after which to evaluate."""
        return (*range(self.evaluate_every, self.steps, self.evaluate_every), self.steps)


class Job(NamedTuple):
    """A run of one side in one environment with one seed."""

    side: str
    environment: str
    seed: int

    @property
    def name(self) -> str:
        """The prefix of the names of the run's files."""
        return f"{self.side}-{self.environment.replace(':', '_').replace('/', '_')}-{self.seed}"


class Result(NamedTuple):
    """Result of a run.

    Attributes:
      returns: mean return of each evaluation, by the number of env steps before it.
      process_seconds: time from the start to the end of the process.
      evaluation_seconds: the part of this time that was spent on evaluations.
      cores: the numbers of the CPUs that the process was allowed to use.
    """

    returns: dict[int, float]
    process_seconds: float
    evaluation_seconds: float
    cores: tuple[int, ...]

    @property
    def training_seconds(self) -> float:
        """The time without evaluations; start-up and compilation are included."""
        return self.process_seconds - self.evaluation_seconds

    @property
    def final_return(self) -> float:
        return self.returns[max(self.returns)]


def read(directory: Path, job: Job, settings: Settings) -> Result | None:
    """Reads the result of a job, or returns None if the job has not been run yet.

    Raises:
      ValueError: the stored result has other settings, or the file is not a valid result.
    """
    path = directory / f"{job.name}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        theirs, result = stored["settings"], stored["result"]
        returns = {int(mark): float(value) for mark, value in result["returns"].items()}
        seconds = float(result["process_seconds"]), float(result["evaluation_seconds"])
        found = Result(returns, *seconds, tuple(result["cores"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no result ({error!r}): remove it, or name another --results_dir."
        ) from None
    if theirs != settings._asdict():
        differing = ", ".join(
            f"{name} {theirs.get(name)} not {value}"
            for name, value in settings._asdict().items()
            if theirs.get(name) != value
        )
        raise ValueError(f"{path} is of other settings ({differing}): name another --results_dir.")
    return found


def write(directory: Path, job: Job, settings: Settings, result: Result) -> None:
    """Stores a result atomically."""
    stored = {"job": job._asdict(), "settings": settings._asdict(), "result": result._asdict()}
    files.write_atomically(directory / f"{job.name}.json", json.dumps(stored, indent=1) + "\n")


def run(job: Job, settings: Settings, directory: Path, peer: Path | None) -> Result:
    """Runs a job and writes the standard error of its process to `NAME.log`.

    Args:
      job: the run.
      settings: settings of all runs.
      directory: directory of the log file.
      peer: interpreter of the peer's environment; needed by the side `sbx`.

    Raises:
      RuntimeError: the process failed, or an evaluation is missing.
    """
    with tempfile.TemporaryDirectory() as temporary:
        # MuJoCo writes its warnings to the current directory, so the process runs in a temporary one.
        process = _Process(Path(temporary), directory / f"{job.name}.log")
        if job.side in AGENTS:
            rows, seconds = _run_agent(job, settings, process)
        else:
            rows, seconds = _run_script(job, settings, process, peer)
    returns: dict[int, list[float]] = {}
    for row in rows:
        returns.setdefault(int(row["actor_steps"]), []).append(row["episode_return"])
    if missing := set(settings.marks) - returns.keys():
        raise RuntimeError(f"{job.name} left out its evaluation after {min(missing):,} env steps")
    means = {mark: sum(returns[mark]) / len(returns[mark]) for mark in settings.marks}
    evaluation = sum(row["evaluation_seconds"] for row in rows)
    return Result(means, seconds, evaluation, available_cores())


class _Process(NamedTuple):
    """Working directory of a process, and the file for its standard error."""

    directory: Path
    log: Path

    def run(self, command: Sequence[str]) -> tuple[str, float]:
        """Runs a command and returns its standard output and its duration in seconds.

        Raises:
          RuntimeError: the process failed.
        """
        environment = peer_environment.environment_for_scripts()
        with open(self.log, "w", encoding="utf-8") as log:
            began = time.monotonic()
            process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
            try:
                printed, _ = process.communicate()
            finally:
                # The process must not outlive the benchmark, even if the benchmark is interrupted.
                process.kill()
                process.wait()
            seconds = time.monotonic() - began
        if process.returncode != 0:
            raise RuntimeError(f"exit code {process.returncode}, see {self.log}")
        return printed, seconds


Rows = Sequence[dict[str, float]]


def _run_script(job: Job, settings: Settings, process: _Process, peer: Path | None) -> tuple[Rows, float]:
    """Runs a module of `experiments.benchmarks.peers.scripts`, which prints its evaluations."""
    task = ControlTask(
        job.environment, job.seed, settings.width, settings.learning_starts, settings.marks, settings.episodes
    )
    python, module = (peer, "sbx_control") if job.side == "sbx" else (sys.executable, "acme_sac")
    script = f"experiments.benchmarks.peers.scripts.{module}"
    printed, seconds = process.run([str(python), "-m", script, *control_task.flags_of(task)])
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")], seconds


def _run_agent(job: Job, settings: Settings, process: _Process) -> tuple[Rows, float]:
    """Runs `experiments.run_agent`, which writes its evaluations to `evaluation.csv`."""
    output, sizes = process.directory / "run", f"[{settings.width},{settings.width}]"
    command = [sys.executable, "-m", "experiments.run_agent", f"--agent={job.side}"]
    command += [f"--environment={job.environment}", f"--seed={job.seed}", f"--output_dir={output}"]
    command += [f"--actor_steps={settings.steps}", f"--set_replay=min_replay_size={settings.learning_starts}"]
    command += [f"--set={name}={sizes}" for name in ("critic_hidden_sizes", "policy_hidden_sizes")]
    command += [f"--evaluate_every={settings.evaluate_every}", f"--evaluation_episodes={settings.episodes}"]
    _, seconds = process.run(command)
    return at_marks(tables.read_csv(output / "evaluation.csv"), settings.marks), seconds


def at_marks(rows: Rows, marks: Sequence[int]) -> Rows:
    """Converts evaluations of `run_agent` to the form in which peers report them.

    `run_agent` finishes its episode before it evaluates, so an evaluation may come a little after its mark.
    Its rows contain the total seconds of all evaluations so far, which are converted to differences.
    """
    found: list[dict[str, float]] = []
    so_far = 0.0
    for mark in marks:
        row = next((row for row in rows if row["actor_steps"] >= mark), None)
        if row is not None:
            seconds, so_far = row["evaluation_seconds"] - so_far, row["evaluation_seconds"]
            found.append({**row, "actor_steps": mark, "evaluation_seconds": seconds})
    return found


def available_cores() -> tuple[int, ...]:
    """Returns the numbers of the CPUs that this process and its children may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


Runner = Callable[[Job, Settings, Path, Path | None], Result]
