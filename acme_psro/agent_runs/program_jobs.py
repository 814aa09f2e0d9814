"""Programs of agents as jobs: the command, the environment and the failures of their child processes.

The imports are kept light: JAX and Acme are imported only by the child processes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import placement
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import compilation
from acme_psro.system import surroundings
from acme_psro.system.executors.placing import Placing
from acme_psro.system.jobs import Failure, Job

# Longest time without new rows in a table of the learner or an actor. They usually write every few seconds,
# but compilation, or collecting enough experience for the first gradient step, may take minutes.
HANG_SECONDS = 900.0
_ROOT = Path(__file__).resolve().parents[2]


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
      how: description of how the process ended, such as "was killed by SIGKILL".
    """
    log = directory / "program.log"
    failure = run_directory.read_failure(directory)
    if failure is None:
        return Failure(f"the program {how} (see {log})")
    return Failure(f"{failure.message} ({failure.kind}; see {log})", failure.is_final)
