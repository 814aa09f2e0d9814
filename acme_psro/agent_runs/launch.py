"""Launch of a run of one agent: in this process, as a Launchpad program in a child process, or in Vertex AI.

The imports are kept light. Heavy packages such as JAX and Acme are imported only by the process that needs
them.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import time
from pathlib import Path

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import placement, program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.curve import CurveFile
from acme_psro.agent_runs.program_display import ProgramDisplay
from acme_psro.agent_runs.progress import Progress
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.jobs import BAD_INPUT
from acme_psro.system.process_groups import interruptible
from acme_psro.system.supervision import run_all


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
    display = ProgramDisplay(config, directory, progress, placing)
    job = program_jobs.make_job(config, directory, sharing_devices=placing.jobs_per_gpu)
    run_all(
        [job],
        hang_seconds=program_jobs.HANG_SECONDS,
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
