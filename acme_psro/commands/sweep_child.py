"""Child process of a sweep: carries out one run, and records in the run's directory that it is done.

python -m acme_psro.commands.sweep_child COMMAND --output_dir=DIR [--FLAG=VALUE ..]

It begins the run, or resumes it if it has begun, so that it can be started again with the same arguments.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

LAUNCHERS = {"run": "run_psro", "neupl": "run_neupl", "self-play": "run_self_play"}


def start() -> None:
    """Carries out the run with the process's arguments."""
    command, *arguments = sys.argv[1:]
    directory = next(Path(text.partition("=")[2]) for text in arguments if text.startswith("--output_dir="))
    resume = ["--resume"] if (directory / "config.json").exists() else []
    sys.argv = [f"acme-psro {command}", *arguments, *resume]
    try:
        importlib.import_module(f"acme_psro.commands.{LAUNCHERS[command]}").start()
    except SystemExit as ended:
        if not ended.code:
            # Imported here, so that the launcher prepares the process before anything else is imported.
            from acme_psro.sweeps.directory import write_finished

            write_finished(directory)
        raise


if __name__ == "__main__":
    start()
