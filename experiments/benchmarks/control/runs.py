"""Whole runs of continuous control, each a process of its own, and the files that keep their results."""

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

# Of ours, as `run_agent` names them; then the peers.
AGENTS = ("crossq", "conditional_mpo")
SIDES = (*AGENTS, "sbx", "acme_sac")


class Settings(NamedTuple):
    """What all runs of a comparison have in common.

    Attributes:
      steps: env steps of a run.
      width: of the two hidden layers of every network.
      learning_starts: env steps before the first gradient step.
      evaluate_every: env steps between evaluations; there is one at the end, too.
      episodes: of an evaluation.
    """

    steps: int
    width: int
    learning_starts: int
    evaluate_every: int
    episodes: int

    @property
    def marks(self) -> tuple[int, ...]:
        """Env steps after which to evaluate."""
        return (*range(self.evaluate_every, self.steps, self.evaluate_every), self.steps)


class Job(NamedTuple):
    """A run: which side, on what, and its seed."""

    side: str
    environment: str
    seed: int

    @property
    def name(self) -> str:
        """Begins its files' names."""
        return f"{self.side}-{self.environment.replace(':', '_').replace('/', '_')}-{self.seed}"


class Result(NamedTuple):
    """What came of a run.

    Attributes:
      returns: mean return of each evaluation, by env steps.
      process_seconds: from the process's start to its end.
      evaluation_seconds: of these, spent on evaluations.
      cores: the numbers of the CPUs that it could use.
    """

    returns: dict[int, float]
    process_seconds: float
    evaluation_seconds: float
    cores: tuple[int, ...]

    @property
    def training_seconds(self) -> float:
        """Everything but evaluation: start-up and compilation too."""
        return self.process_seconds - self.evaluation_seconds

    @property
    def final_return(self) -> float:
        return self.returns[max(self.returns)]


def read(directory: Path, job: Job, settings: Settings) -> Result | None:
    """The result of a job, None where it is still to be run.

    Raises:
      ValueError: there is one of other settings, or a file that is no result.
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
    """Keeps a result, whole or not at all."""
    stored = {"job": job._asdict(), "settings": settings._asdict(), "result": result._asdict()}
    files.write_atomically(directory / f"{job.name}.json", json.dumps(stored, indent=1) + "\n")


def run(job: Job, settings: Settings, directory: Path, peer: Path | None) -> Result:
    """Runs a job; what its process said on standard error is in `NAME.log` afterwards.

    Args:
      peer: interpreter of the peer's environment; needed by the side `sbx`.

    Raises:
      RuntimeError: the process failed, or left evaluations out.
    """
    with tempfile.TemporaryDirectory() as temporary:
        # MuJoCo writes its warnings into the directory that it is started in.
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
    """Where a process runs, and where its standard error goes."""

    directory: Path
    log: Path

    def run(self, command: Sequence[str]) -> tuple[str, float]:
        """What it printed, and the seconds from its start to its end.

        Raises:
          RuntimeError: it failed.
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
                # Also where the benchmark itself is interrupted.
                process.kill()
                process.wait()
            seconds = time.monotonic() - began
        if process.returncode != 0:
            raise RuntimeError(f"exit code {process.returncode}, see {self.log}")
        return printed, seconds


Rows = Sequence[dict[str, float]]


def _run_script(job: Job, settings: Settings, process: _Process, peer: Path | None) -> tuple[Rows, float]:
    """Runs a module of `peer_scripts`, which prints its evaluations."""
    task = ControlTask(
        job.environment, job.seed, settings.width, settings.learning_starts, settings.marks, settings.episodes
    )
    python, module = (peer, "sbx_control") if job.side == "sbx" else (sys.executable, "acme_sac")
    script = f"experiments.benchmarks.peers.scripts.{module}"
    printed, seconds = process.run([str(python), "-m", script, *control_task.flags_of(task)])
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")], seconds


def _run_agent(job: Job, settings: Settings, process: _Process) -> tuple[Rows, float]:
    """Runs `experiments.run_agent`, whose evaluations are in `evaluation.csv`."""
    output, sizes = process.directory / "run", f"[{settings.width},{settings.width}]"
    command = [sys.executable, "-m", "experiments.run_agent", f"--agent={job.side}"]
    command += [f"--environment={job.environment}", f"--seed={job.seed}", f"--output_dir={output}"]
    command += [f"--actor_steps={settings.steps}", f"--set_replay=min_replay_size={settings.learning_starts}"]
    command += [f"--set={name}={sizes}" for name in ("critic_hidden_sizes", "policy_hidden_sizes")]
    command += [f"--evaluate_every={settings.evaluate_every}", f"--evaluation_episodes={settings.episodes}"]
    _, seconds = process.run(command)
    return at_marks(tables.read_csv(output / "evaluation.csv"), settings.marks), seconds


def at_marks(rows: Rows, marks: Sequence[int]) -> Rows:
    """Evaluations of `run_agent` as peers report them.

    It ends its episode before it evaluates, and its rows hold the seconds of all evaluations so far.
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
    """The numbers of the CPUs that this process, and so its children, may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


Runner = Callable[[Job, Settings, Path, Path | None], Result]
