"""Submission of a run to Vertex AI as a Launchpad program, with machines and containers for its nodes.

There are three types of machines: one for the learner, one for the actors, and one for replay, counter and
evaluator. A container has the code of this repository as files, and installs the packages that it needs at
fixed versions. `acme_psro.agent_runs.vertex_ai.checks` checks the requirements before.
"""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
from launchpad import context

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts
from acme_psro.agent_runs.program import layout
from acme_psro.agent_runs.vertex_ai.cloud_layout import CloudLayout

_ROOT = Path(__file__).resolve().parents[3]
_PACKAGES = ("acme_psro", "agents")
_PINS = (_ROOT / "constraints.txt", Path(__file__).with_name("vertex_ai.txt"))
# Instructions that are removed from Launchpad's Dockerfile. It would install Python's library from Debian,
# which only has it for Debian's own version of Python, although the image already contains the library. It
# would also install the newest XManager, which is not compatible with the fixed versions.
_DROPPED = ("libpython", "pip install xmanager")


class Machine(NamedTuple):
    """Hardware of the machine of a node.

    Attributes:
      cpu: number of cores.
      gibibytes: size of the memory in GiB.
      accelerator: XManager's name of the accelerator, of which the machine has one, or "none".
    """

    cpu: int
    gibibytes: int
    accelerator: str = "none"


# The smallest machines in XManager's list, except for the learner's, which must keep an accelerator busy.
_SERVICES = Machine(4, 15)
_ACTOR = Machine(2, 13)
_LEARNER = Machine(8, 30)


def send(config: AgentRunConfig, directory: Path) -> None:
    """Builds the containers and submits the job. It does not wait for the end of the run.

    Args:
      config: configuration of the run.
      directory: output directory of the run, in a bucket.

    Raises:
      ValueError: the configuration is refused. Nothing has been written.
      RuntimeError: Vertex AI did not accept the job.
    """
    parts = make_parts(config)
    run_directory.begin(directory, config)
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        run_directory.rewind(directory, checkpoints.read_counts().get("actor_steps", 0))
    made = CloudLayout(config, parts, directory).build(name=config.agent)
    for label, nodes in made.groups.items():
        for node in nodes:
            node.to_executables = functools.partial(
                to_executables, {} if label == "learner" else layout.ON_CPU
            )
    with tempfile.TemporaryDirectory(prefix="vertexai") as staging:
        try:
            lp.launch(
                made,
                launch_type=lp.LaunchType.VERTEX_AI,
                xm_resources=make_resources(made, config.learner_accelerator, Path(staging)),
            )
        except Exception as error:
            raise RuntimeError(f"Vertex AI did not take the job ({type(error).__name__}: {error})") from error


def make_resources(made: lp.Program, accelerator: str, staging: Path) -> dict[str, Any]:
    """Makes Launchpad's resources for each group of nodes.

    Args:
      made: the program.
      accelerator: XManager's name of the learner's accelerator, or "none".
      staging: directory for the code and the lists of packages. It must exist until the program is launched.

    Returns:
      An `xm_docker.DockerConfig` for each group, by the group's label.
    """
    from launchpad.nodes.python import xm_docker
    from xmanager import xm  # type: ignore[import-not-found]

    stage_code(staging / "code")
    learner = _LEARNER._replace(accelerator=accelerator)

    def configure(label: str) -> xm_docker.DockerConfig:
        machine = {"learner": learner, "actor": _ACTOR}.get(label, _SERVICES)
        has_accelerator = machine.accelerator != "none"
        listed = staging / ("requirements_cuda.txt" if has_accelerator else "requirements.txt")
        listed.write_text(requirements(has_accelerator))
        hardware: dict[str, float] = {"cpu": machine.cpu, "ram": machine.gibibytes * xm.GiB}
        if machine.accelerator == "A100":
            # Machines with this accelerator have a fixed number of cores and a fixed amount of memory.
            hardware = {}
        if has_accelerator:
            hardware[machine.accelerator] = 1
        return xm_docker.DockerConfig(
            code_directory=str(staging / "code"),
            docker_requirements=str(listed),
            hw_requirements=xm.JobRequirements(**hardware),
        )

    return {label: configure(label) for label in made.groups}


def stage_code(place: Path) -> None:
    """Copies the Python packages that nodes import to a directory, and no other files of the repository."""
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))


def requirements(cuda: bool) -> str:
    """Returns the packages that a container installs, as the content of a file for `pip install -r`.

    Args:
      cuda: True if JAX must support a GPU.
    """
    pins: dict[str, str] = {}
    for path in _PINS:
        # A version in the second file replaces the one in the first.
        lines = (line.split(";")[0].strip() for line in path.read_text().splitlines())
        pins |= {_name(line): line for line in lines if line and not line.startswith("#")}
    if cuda:
        pins["jax"] = pins["jax"].replace("jax==", "jax[cuda12]==")
    return "".join(f"{line}\n" for line in pins.values())


def _name(line: str) -> str:
    """Returns the normalized name of the package in a line of requirements, as PEP 503 defines it."""
    return re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()


def to_executables(
    environment: Mapping[str, str], nodes: Sequence[Any], label: str, launch_context: context.LaunchContext
) -> list[tuple[Any, Any]]:
    """Makes Launchpad's container for a group of nodes, without the packages that it cannot install.

    Args:
      environment: environment variables of the container's processes.
      nodes: the group's nodes.
      label: the group's label.
      launch_context: Launchpad's context of the launch.

    Returns:
      The container and its hardware, as a list with one pair.
    """
    ((container, hardware),) = lp.PyNode.to_executables(nodes, label, launch_context)
    kept = [line for line in container.docker_instructions if not any(word in line for word in _DROPPED)]
    container.docker_instructions = kept + [f'ENV {name}="{value}"' for name, value in environment.items()]
    return [(container, hardware)]
