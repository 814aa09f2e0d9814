"""Entry point of the child process that runs NeuPL's program; `launch` of this package starts it.

If the configuration is refused, the reason goes to standard error. All later output goes to `program.log`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import launchpad as lp
from absl import flags
from launchpad.nodes.python.local_multi_processing import PythonProcess

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.layout import NeuPLLayout
from acme_psro.agent_runs.neupl_program.parts import make_parts
from acme_psro.agent_runs.program import child, starts
from acme_psro.agent_runs.program.layout import ON_CPU
from acme_psro.storage.run_directory import write_config
from acme_psro.system import supervision


def main(config_json: str, directory: Path) -> None:
    """Builds and runs the program, and then exits, as `acme_psro.agent_runs.program.child.main` does.

    Args:
      config_json: configuration of the program, as JSON.
      directory: its directory.
    """
    child.end_with_parent()
    starts.begin()
    flags.FLAGS([sys.argv[0], f"--lp_termination_notice_secs={child.NOTICE_SECONDS}"])
    config = NeuPLProgramConfig.from_json(json.loads(config_json))
    if config.lp_launch_type == "local_mp":
        # The accelerators belong to the learner's process, so this one must not reserve their memory.
        jax.config.update("jax_platforms", "cpu")
    try:
        parts = make_parts(config)
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(supervision.BAD_INPUT)
    write_config(directory, config.to_json())
    # A resumed program must not be taken for one that ended already.
    for name in ("ending", "finished", "failure"):
        (directory / f"{name}.json").unlink(missing_ok=True)
    child.log_to(directory / "program.log")
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        run_directory.rewind(directory, checkpoints.read_counts().get("actor_steps", 0))
    made = NeuPLLayout(config, parts, directory).build()
    resources = {label: PythonProcess(env=ON_CPU) for label in made.groups if label != "learner"}
    try:
        manager = lp.launch(
            made,
            launch_type=config.lp_launch_type,
            local_resources=resources if config.lp_launch_type == "local_mp" else None,
            terminal="current_terminal",
        )
        threading.Thread(target=child.bound_stopping, args=(manager.stop_event(),), daemon=True).start()
        code = child.wait(manager, directory)
    except BaseException as error:
        traceback.print_exc()
        run_directory.write_failure(directory, error)
        code = 1
    # A normal exit would make Launchpad wait for its nodes once more, and without an end if a node is lost.
    # The process that started this one ends the nodes that are left.
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
