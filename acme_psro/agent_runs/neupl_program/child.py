"""Entry point of the child process that runs NeuPL's program; `launch` of this package starts it.

If the configuration is refused, the reason goes to standard error. All later output goes to `program.log`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split


from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.child_process import log_to, make_or_refuse
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.layout import NeuPLLayout
from acme_psro.agent_runs.neupl_program.parts import make_parts
from acme_psro.agent_runs.program import child
from acme_psro.storage.run_config import write_config


def main(config_json: str, directory: Path) -> None:
    """Builds and runs the program, and then exits, as `acme_psro.agent_runs.program.child.main` does.

    Args:
      config_json: configuration of the program, as JSON.
      directory: its directory.
    """
    child.begin()
    config = NeuPLProgramConfig.from_json(json.loads(config_json))
    parts = make_or_refuse(lambda: make_parts(config), config.lp_launch_type == "local_mp")
    write_config(directory, config.to_json())
    # A resumed program must not be taken for one that ended already.
    for name in ("ending", "finished", "failure"):
        (directory / f"{name}.json").unlink(missing_ok=True)
    log_to(directory / "program.log")
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        run_directory.rewind(directory, checkpoints.read_counts().get("actor_steps", 0))
    child.run_and_exit(NeuPLLayout(config, parts, directory).build(), config.lp_launch_type, directory)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
