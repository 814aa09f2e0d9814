"""The process in which a Launchpad program runs: started by `acme_psro.agent_runs.launch` alone.

It says to its standard error why a configuration is refused; whatever comes later goes to `program.log`.
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
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import launchpad as lp
from absl import flags
from launchpad.nodes.python.local_multi_processing import PythonProcess

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts
from acme_psro.agent_runs.program import layout, starts
from acme_psro.system import supervision

# A node that is asked to stop ends itself after ten at the latest. Were they as few here, Launchpad would
# kill this process along with it.
_NOTICE_SECONDS = 30
_STOP_SECONDS = _NOTICE_SECONDS + 2.0
# For a request to stop to arrive, which comes before any node ends.
_REQUEST_SECONDS = 2.0


def main(config_json: str, directory: Path) -> None:
    """Builds and runs the program; exits with code 2 where the configuration is refused."""
    _end_with_parent()
    starts.begin()
    flags.FLAGS([sys.argv[0], f"--lp_termination_notice_secs={_NOTICE_SECONDS}"])
    config = AgentRunConfig.from_json(json.loads(config_json))
    if config.lp_launch_type == "local_mp":
        # What accelerators there are is the learner's process's.
        jax.config.update("jax_platforms", "cpu")
    try:
        parts = make_parts(config)
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(supervision.BAD_INPUT)
    run_directory.begin(directory, config)
    _log_to(directory / "program.log")
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        run_directory.rewind(directory, checkpoints.read_counts().get("actor_steps", 0))
    made = layout.make_program(config, parts, directory)
    resources = {label: PythonProcess(env=layout.ON_CPU) for label in made.groups if label != "learner"}
    try:
        manager = lp.launch(
            made,
            launch_type=config.lp_launch_type,
            local_resources=resources if config.lp_launch_type == "local_mp" else None,
            terminal="current_terminal",
        )
        threading.Thread(target=_bound_stopping, args=(manager.stop_event(),), daemon=True).start()
        code = _wait(manager, directory)
    except BaseException as error:
        traceback.print_exc()
        run_directory.write_failure(directory, error)
        code = 1
    # Launchpad would now wait for its nodes once more, for ever where one was lost; the process that
    # started this one ends them.
    sys.stdout.flush()
    os._exit(code)


def _log_to(path: Path) -> None:
    """Sends to a file what this process and all that it starts will say."""
    with open(path, "ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)


def _wait(manager: Any, directory: Path) -> int:
    """Waits for the end of all nodes; returns 1 where one ended that was not asked to.

    Launchpad goes on without a process that is lost, and leaves the others no time where a thread is.
    """
    try:
        manager.wait(return_on_first_completed=True)
        asked = manager.stop_event().wait(_REQUEST_SECONDS)
    except Exception:
        traceback.print_exc()
        asked = False
    if not asked:
        run_directory.write_failure(directory, RuntimeError("a process of the program ended unexpectedly"))
        os.kill(os.getpid(), signal.SIGTERM)
    manager.wait(raise_error=False)
    return 0 if asked else 1


def _bound_stopping(stopping: threading.Event) -> None:
    """Ends this process when its nodes have had time enough to stop, whether they did or not."""
    stopping.wait()
    time.sleep(_STOP_SECONDS)
    os._exit(1)


def _end_with_parent() -> None:
    """Kills this process and all that it started when the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
