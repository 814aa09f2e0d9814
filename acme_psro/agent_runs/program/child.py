"""Entry point of the child process that runs a Launchpad program, see `acme_psro.agent_runs.program_jobs`.

If the configuration is refused, the reason goes to standard error. All later output goes to `program.log`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
from absl import flags
from launchpad.nodes.python.local_multi_processing import PythonProcess

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.child_process import end_with_parent, log_to, make_or_refuse
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts
from acme_psro.agent_runs.program import layout, snapshots, starts
from acme_psro.system.jobs import LOST_A_PART

# A node that is asked to stop ends within ten seconds. With an equally short time here, Launchpad would kill
# this process together with its nodes.
NOTICE_SECONDS = 30
_STOP_SECONDS = NOTICE_SECONDS + 2.0
# Time to wait for the request to stop after the first node has ended. A program that stops itself makes the
# request before any of its nodes ends, but it may arrive a little later.
_REQUEST_SECONDS = 2.0


def main(config_json: str, directory: Path) -> None:
    """Builds and runs the program, and then exits.

    The exit code is 0 if the program stopped itself, 1 if it failed, 2 if the configuration is refused, and
    `LOST_A_PART` if one of its processes was killed.

    Args:
      config_json: configuration of the run, as JSON.
      directory: output directory of the run.
    """
    begin()
    config = AgentRunConfig.from_json(json.loads(config_json))
    parts = make_or_refuse(lambda: make_parts(config), config.lp_launch_type == "local_mp")
    run_directory.begin(directory, config)
    log_to(directory / "program.log")
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        resumed_from = checkpoints.read_counts().get("actor_steps", 0)
    run_directory.rewind(directory, resumed_from)
    snapshots.rewind(directory, resumed_from)
    run_and_exit(layout.make_program(config, parts, directory), config.lp_launch_type, directory)


def begin() -> None:
    """Prepares this process: it ends with its parent, counts as a start, and leaves nodes time to stop."""
    end_with_parent()
    starts.begin()
    flags.FLAGS([sys.argv[0], f"--lp_termination_notice_secs={NOTICE_SECONDS}"])


def run_and_exit(made: lp.Program, launch_type: str, directory: Path) -> NoReturn:
    """Runs a program to its end, and exits with the code that `wait` returns, or 1 if it cannot run.

    Args:
      made: the program; the node labelled "learner" may use accelerators.
      launch_type: Launchpad's launch type.
      directory: output directory of the run.
    """
    resources = {label: PythonProcess(env=layout.ON_CPU) for label in made.groups if label != "learner"}
    try:
        manager = lp.launch(
            made,
            launch_type=launch_type,
            local_resources=resources if launch_type == "local_mp" else None,
            terminal="current_terminal",
        )
        threading.Thread(target=bound_stopping, args=(manager.stop_event(),), daemon=True).start()
        code = wait(manager, directory)
    except BaseException as error:
        traceback.print_exc()
        run_directory.write_failure(directory, error)
        code = 1
    # A normal exit would make Launchpad wait for its nodes once more, and without an end if a node is lost.
    # The process that started this one ends the nodes that are left.
    sys.stdout.flush()
    os._exit(code)


def wait(manager: Any, directory: Path) -> int:
    """Waits until all nodes have ended.

    Launchpad itself would continue without a lost process, and would end all others at once after a lost
    thread. So the first node that ends without a request to stop makes the whole program stop here.

    Args:
      manager: the worker manager that `lp.launch` returned.
      directory: output directory of the run.

    Returns:
      0, or if a node ended although it was not asked to stop: 1 if any node has failed, and `LOST_A_PART` if
      none has, so that one was killed.
    """
    code = 0
    try:
        manager.wait(return_on_first_completed=True)
        asked = manager.stop_event().wait(_REQUEST_SECONDS)
    except Exception:
        traceback.print_exc()
        asked = False
    if not asked:
        # Nodes write down why they fail.
        code = LOST_A_PART if run_directory.read_failure(directory) is None else 1
        run_directory.write_failure(directory, RuntimeError("a process of the program ended unexpectedly"))
        os.kill(os.getpid(), signal.SIGTERM)
    manager.wait(raise_error=False)
    return code


def bound_stopping(stopping: threading.Event) -> None:
    """Ends this process with code 1 if its nodes are still running a fixed time after the request to stop."""
    stopping.wait()
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
