"""Child process that carries out a self-play run, on this machine or on a node of a cluster.

python -m acme_psro.self_play_runs.child CONFIG DIRECTORY

It goes on from the newest checkpoint, so that it can be started again with the same arguments. Its last line
of output tells why it has failed. SIGTERM makes it save what it has learned.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

from acme_psro.system import jax_settings
from acme_psro.system.jobs import BAD_INPUT
from acme_psro.system.process_groups import interruptible


def main(config_json: str, directory: Path) -> None:
    """Carries the run out and records that it is done; a failure ends the process with one line.

    Args:
      config_json: the run's configuration as JSON, by field of `SelfPlayRunConfig`.
      directory: the run's directory.
    """
    jax_settings.use_defaults()
    # Imported here, because JAX is to see the settings.
    from acme_psro.agent_runs.progress import Progress
    from acme_psro.self_play_runs.config import SelfPlayRunConfig
    from acme_psro.self_play_runs.games import EvaluationError
    from acme_psro.self_play_runs.job import write_finished
    from acme_psro.self_play_runs.run import DivergedError, SelfPlayRun

    try:
        config = SelfPlayRunConfig(**json.loads(config_json))
        run = SelfPlayRun(config, directory, _say)
        restored = run.restore(_say)
    except ValueError as error:
        _end(error, BAD_INPUT)
    try:
        run.carry_out(restored, Progress(config.steps))
    except (DivergedError, EvaluationError) as error:
        _end(error, 1)
    write_finished(directory)


def _say(line: str) -> None:
    print(line, flush=True)


def _end(error: Exception, code: int) -> NoReturn:
    """Prints the reason for which the run ends, and exits."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    with interruptible():
        try:
            main(sys.argv[1], Path(sys.argv[2]))
        except KeyboardInterrupt:
            sys.exit(1)
