"""Launch of a run of one agent: in this process, as a Launchpad program in a child process, or in Vertex AI.

The imports are kept light. Heavy packages such as JAX and Acme are imported only by the process that needs
them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import placement
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.curve import CurveFile
from acme_psro.agent_runs.program import compilation
from acme_psro.agent_runs.progress import Progress, describe_run
from acme_psro.agent_runs.watch import STARTING, WAITING, ProgramWatch
from acme_psro.system import surroundings
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.process_groups import interruptible
from acme_psro.system.supervision import BAD_INPUT, Event, Failure, Job, run_all

# Longest time without new rows in a table of the learner or an actor. They usually write every few seconds,
# but compilation, or collecting enough experience for the first gradient step, may take minutes.
HANG_SECONDS = 900.0
_ROOT = Path(__file__).resolve().parents[2]


def run(config: AgentRunConfig, directory: Path, started: float, placing: Placing = LOCAL) -> int:
    """Trains the agent, evaluates it and plots the learning curve.

    Errors that users can act on are printed to standard error, in one line.

    Args:
      config: configuration of the run.
      directory: output directory of the run.
      started: `time.monotonic()` when the process began.
      placing: the machines on which a distributed run's program runs.

    Returns:
      The exit code: 0 for success, 2 if the configuration is refused, and 1 for other failures and Ctrl-C.

    Raises:
      OSError: a file cannot be written, for example because the disk is full; the run can be resumed.
    """
    # Environments log details of their rendering, which does not matter for training.
    logging.getLogger("absl").setLevel(logging.WARNING)
    train = functools.partial(_train_as_program, placing=placing) if config.distributed else _train_here
    if config.lp_launch_type == "vertex_ai":
        train = _train_in_cloud
    with interruptible(), Progress(config.actor_steps) as progress:
        try:
            has_ended = train(config, directory, started, progress)
        except KeyboardInterrupt:
            is_begun = (directory / "config.json").exists()
            if is_begun:
                _draw(config, directory, progress, "stopped")
            progress.note("stopped; --resume continues from the last checkpoint" if is_begun else "stopped")
            progress.enter("stopped")
            return 1
        except (ValueError, RuntimeError) as error:
            if (system_error := find_system_error(error)) is not None:
                raise system_error from error
            return _print_error(error, BAD_INPUT if isinstance(error, ValueError) else 1)
        if has_ended:
            _draw(config, directory, progress)
        progress.enter("done")
    return 0


def find_system_error(error: Exception) -> OSError | None:
    """Returns the operating system's error behind an error of TensorStore, which writes checkpoints, or None.

    TensorStore reports a full disk as `Error writing local file "PATH": .. [OS error 28: ENOSPC ..]`.
    """
    found = re.search(r'"(/[^"]+)".*\[OS error (\d+): ', str(error), re.DOTALL)
    return OSError(int(found[2]), os.strerror(int(found[2])), found[1]) if found else None


def _print_error(error: Exception, code: int) -> int:
    """Prints the error in one line and returns the exit code."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _draw(config: AgentRunConfig, directory: Path, progress: Progress, state: str = "done") -> None:
    """Plots the learning curve as `evaluation.png`, or warns if that fails: the run itself is stored."""
    try:
        curve = CurveFile(config, directory)
        is_drawn = curve.draw()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"warning: the run is {state}, but its curve cannot be drawn: {reason}", file=sys.stderr)
        return
    # A run that was stopped early may have no evaluation yet.
    if is_drawn:
        progress.note(f"curve: {curve.path}")


def _train_here(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> bool:
    """Trains in this process. Returns True, because the run has ended.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: training failed.
    """
    # JAX reads these variables when it is imported, so they are set before that.
    os.environ.update(placement.environment(config.learner_devices))
    from acme_psro.agent_runs import local

    local.train(config, directory, started, progress)
    return True


def _train_as_program(
    config: AgentRunConfig, directory: Path, started: float, progress: Progress, placing: Placing
) -> bool:
    """Runs the program, here or on a cluster, and then makes the final evaluation.

    If the run has already finished, no program is launched.

    Returns:
      True, because the run has ended.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: the program failed.
    """
    display = _Display(config, directory, progress)
    job = make_job(config, directory, sharing_devices=placing.jobs_per_gpu)
    run_all(
        [job],
        hang_seconds=HANG_SECONDS,
        on_event=display.note,
        on_poll=display.update,
        executor=make_executor(placing),
    )
    _conclude(config, directory, started, progress)
    return True


def _train_in_cloud(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> bool:
    """Sends the program to Vertex AI or, if it has finished there, makes the final evaluation.

    Returns:
      True if the run has ended, False if the program was sent.

    Raises:
      ValueError: the configuration is refused.
      RuntimeError: the program could not be sent.
    """
    if run_directory.read_finished(directory, config) is not None:
        _conclude(config, directory, started, progress)
        return True
    from acme_psro.agent_runs.vertex_ai import send

    send.send(config, directory)
    progress.note(
        f"sent to Vertex AI: once {directory / 'finished.json'} is there, --resume evaluates the run"
    )
    return False


def _conclude(config: AgentRunConfig, directory: Path, started: float, progress: Progress) -> None:
    """Makes the final evaluation of a program that has finished, unless it is already made."""
    finished = run_directory.read_finished(directory, config)
    if finished is None:
        return
    if not run_directory.is_evaluated(directory, finished):
        os.environ.update(placement.environment(config.learner_devices))
        from acme_psro.agent_runs import final

        with progress.during("evaluating the last checkpoint"):
            row = final.evaluate(config, directory, finished.counts, time.monotonic() - started)
        progress.show(row)
    if finished.reason == "plateau":
        progress.note(f"ended at a plateau after {finished.counts['actor_steps']:,.0f} steps")


def make_job(config: AgentRunConfig, directory: Path, name: str = "program", sharing_devices: int = 1) -> Job:
    """Makes the job that runs the Launchpad program of a run; see `acme_psro.system.supervision`.

    Each launch resumes from the newest checkpoint, if there is one.

    Args:
      config: configuration of the run.
      directory: output directory of the run. `directory.check` must allow the run to begin or resume in it.
      name: name of the job in events and errors.
      sharing_devices: number of learners that may use the learner's devices at the same time, including this
        one.
    """
    return Job(
        name,
        command_of("acme_psro.agent_runs.program.child", config.to_json(), directory),
        is_done=lambda: run_directory.read_finished(directory, config) is not None,
        failure=functools.partial(failure_of, directory),
        landmark=functools.partial(run_directory.newest_checkpoint, directory),
        signs=functools.partial(run_directory.signs_of_life, directory, config),
        environment=environment_of(config.learner_devices, sharing_devices),
        directory=directory,
        inputs=_files_of_opponent(config),
        marker=run_directory.FINISHED,
    )


def _files_of_opponent(config: AgentRunConfig) -> tuple[Path, ...]:
    """Returns the files of the run or mixture that plays against the agent; none without an opponent."""
    if config.opponent is None:
        return ()
    # Imported here, because the code of policies needs JAX.
    from acme_psro.policies import mixture_files

    opponent = Path(config.opponent)
    if mixture_files.exists(opponent):
        return (opponent,)
    # The rest of a run, such as its tables and the programs of its responses, has no part in the opponent.
    return (opponent / "config.json", opponent / "checkpoints")


def make_ray_job(
    placing: Placing, config: AgentRunConfig, directory: Path, name: str = "program", sharing_devices: int = 1
) -> Job:
    """Makes the job that drives a run's program on Ray, with the same files as that of `make_job`.

    The job itself runs on this machine, wherever the program's parts run.

    Args:
      placing: the cluster, see `acme_psro.agent_runs.ray_program.nodes.connected`.
      config: configuration of the run, which must be distributed.
      directory: output directory of the run, as for `make_job`.
      name: name of the job in events and errors.
      sharing_devices: as for `make_job`.
    """
    job = make_job(config, directory, name, sharing_devices)
    command = command_of("acme_psro.agent_runs.ray_program.child", config.to_json(), directory)
    return dataclasses.replace(job, command=(*command, json.dumps(dataclasses.asdict(placing))))


def command_of(module: str, config: Mapping[str, Any], directory: Path) -> tuple[str, ...]:
    """Returns the command of a program's child process.

    Args:
      module: the module that is run.
      config: its configuration, for JSON.
      directory: its directory.
    """
    return (sys.executable, "-m", module, json.dumps(config), str(directory))


def environment_of(learner_devices: str, sharing_devices: int = 1) -> dict[str, str]:
    """Returns the environment variables of a program's child process; see `make_job`."""
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        **compilation.environment(),
        **surroundings.environment(),
        **placement.environment(learner_devices, sharing_devices),
    }


def failure_of(directory: Path, how: str) -> Failure:
    """Returns the failure that the program recorded, or one that describes how its process ended.

    Args:
      directory: output directory of the run.
      how: description of how the process ended, such as "killed by SIGKILL".
    """
    log = directory / "program.log"
    failure = run_directory.read_failure(directory)
    if failure is None:
        return Failure(f"the program {how} (see {log})")
    return Failure(f"{failure.message} ({failure.kind}; see {log})", failure.is_final)


class _Display:
    """Display of a program's progress, read from the files that the program writes.

    Args:
      config: configuration of the run.
      directory: output directory of the run.
      progress: shows the start, the evaluations, the steps and the failures.
    """

    def __init__(self, config: AgentRunConfig, directory: Path, progress: Progress) -> None:
        self._config = config
        self._directory = directory
        self._progress = progress
        self._curve = CurveFile(config, directory)
        self._watch = ProgramWatch(directory)
        # Evaluations from before the run was resumed are not shown again.
        self._num_shown = len(self._watch.rows("evaluation"))
        self._is_announced = False

    def note(self, event: Event) -> None:
        """Shows a failure of the program, and follows its next launch."""
        if event.kind == "failed":
            self._progress.note(event.message)
            self._watch.expect_launch()

    def update(self) -> None:
        """Shows the evaluations since the last call, and the current work and number of steps."""
        # The program writes its configuration once it has accepted it.
        if not self._is_announced and not (self._directory / "config.json").exists():
            return
        if not self._is_announced:
            self._is_announced = True
            devices = placement.foresee_devices(self._config.learner_devices)
            self._progress.note(describe_run(self._config, self._directory, devices))
            self._progress.start(run_directory.newest_checkpoint(self._directory) or 0)
        rows = self._watch.rows("evaluation")
        for row in rows[self._num_shown :]:
            self._progress.show(row)
        if len(rows) > self._num_shown:
            self._curve.renew()
        self._num_shown = len(rows)
        status = self._watch.status()
        self._progress.enter(status.phase, announced=status.phase in (STARTING, WAITING))
        self._progress.advance(status.actor_steps, status.episode_return)
