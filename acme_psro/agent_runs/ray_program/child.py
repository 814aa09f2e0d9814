"""Entry point of the child process that drives a program on Ray, see `acme_psro.agent_runs.program_jobs`.

If the configuration or the cluster is refused, the reason goes to standard error. All later output goes to
`program.log`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.agent_settings import make_replay
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.child_process import end_with_parent, log_to, make_or_refuse
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.export import make_core
from acme_psro.agent_runs.program import starts
from acme_psro.agent_runs.ray_program.nodes import connected
from acme_psro.system.executors import losses
from acme_psro.system.executors.placing import Placing
from acme_psro.system.jobs import BAD_INPUT, LOST_A_PART

# Time to leave the cluster in good order.
_LEAVING_SECONDS = 10.0


def main(config_json: str, directory: Path, placing_json: str) -> None:
    """Runs the program, and then exits.

    The exit code is 0 if the program has finished, 1 if it failed, 2 if the configuration is refused, and
    `LOST_A_PART` if a part of it was lost.

    Args:
      config_json: configuration of the run, as JSON.
      directory: output directory of the run.
      placing_json: the cluster, as JSON.
    """
    end_with_parent()
    starts.begin()
    config = AgentRunConfig.from_json(json.loads(config_json))
    placing = Placing(**json.loads(placing_json))
    make_or_refuse(lambda: check(config), on_cpu=True)
    place = connected(config, placing)
    was_lost = run_directory.read_failure(directory) is not None
    try:
        nodes = make_or_refuse(place.__enter__, on_cpu=True)
    except SystemExit:
        # The cluster had room before a machine was lost, and may have it again.
        sys.exit(LOST_A_PART if was_lost else BAD_INPUT)
    # A Ray of this machine's own is asked to end at the same time, so that nothing more can be saved.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1) if placing.is_remote else os._exit(1))
    code = 0
    try:
        run_directory.begin(directory, config)
        log_to(directory / "program.log")
        # Imported here, because it imports Ray.
        from acme_psro.agent_runs.ray_program.driver import Driver

        with open_checkpoints(directory / "checkpoints") as checkpoints:
            Driver(config, directory, nodes, checkpoints).run()
    except SystemExit:
        code = 1
    except Exception as error:
        traceback.print_exc()
        code = LOST_A_PART if losses.is_loss(error) else 1
        if code == LOST_A_PART:
            # Ray's own message is many lines about addresses and numbers of processes.
            error = RuntimeError(f"a part of the program {losses.describe(error)}")
        run_directory.write_failure(directory, error)
    # Without its head, a cluster answers nothing. What is left of the program ends with this process anyway.
    leaving = threading.Thread(target=place.__exit__, args=(None, None, None), daemon=True)
    leaving.start()
    leaving.join(_LEAVING_SECONDS)
    sys.stdout.flush()
    # Threads of libraries must not keep a process that has finished.
    os._exit(code)


def check(config: AgentRunConfig) -> None:
    """Checks that a run can be a program on Ray.

    Raises:
      ValueError: it cannot.
    """
    if config.kind != "openspiel":
        raise ValueError(
            f"--program=ray plays games (openspiel:GAME), not {config.environment}: use --program=launchpad."
        )
    replay = make_replay(config)
    for name, value in (("n_step", replay.n_step), ("sequence_length", replay.sequence_length)):
        if value > 1:
            raise ValueError(
                f"--program=ray keeps single decisions: the replay's {name} must be 1, not {value}."
            )
    if replay.queue:
        raise ValueError(
            f"--agent={config.agent} learns from a queue, for which it needs --program=launchpad."
        )
    make_core(config)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
