"""Sends a run as a Launchpad program to Vertex AI: machines and containers by group of nodes.

There are three pools of machines: the learner's, the actors', and one for replay, counter and evaluator. Code
goes along as files, and the packages that it needs by version. `acme_psro.agent_runs.vertex_ai.checks` says
what must be there before.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
import reverb
from acme import core
from acme.utils import counting
from launchpad import context

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts
from acme_psro.agent_runs.program import layout
from acme_psro.agent_runs.program.workers import Evaluator, LearnerRunner, ReportingLoop, StepsLimiter
from agents.core import Key

_ROOT = Path(__file__).resolve().parents[3]
_PACKAGES = ("acme_psro", "agents", "experiments")
_PINS = (_ROOT / "constraints.txt", Path(__file__).with_name("vertex_ai.txt"))
# Launchpad installs Python's library from Debian, which has one of its own version of Python alone; the image
# comes with its own. And the newest XManager, which does not go with the versions that are asked for.
_DROPPED = ("libpython", "pip install xmanager")
_POLL_SECONDS = 2.0
# Launchpad kills a process ten seconds after it was asked to stop, which would look like a failure.
_END_SECONDS = 8.0


class Machine(NamedTuple):
    """Machine of a node.

    Attributes:
      cpu: cores.
      gibibytes: of memory.
      accelerator: by the name that XManager has for it, one of them; "none".
    """

    cpu: int
    gibibytes: int
    accelerator: str = "none"


# As small as XManager's list of machines goes, but for the learner, which must keep an accelerator busy.
_SERVICES = Machine(4, 15)
_ACTOR = Machine(2, 13)
_LEARNER = Machine(8, 30)


def send(config: AgentRunConfig, directory: Path) -> None:
    """Builds the containers and submits the job; returns once that is done, not when the run is.

    Raises:
      ValueError: the configuration is refused; nothing has been written.
      RuntimeError: the job was not taken.
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
    """Returns Launchpad's resources for each group of nodes, by label: `xm_docker.DockerConfig`s.

    Args:
      made: the program.
      accelerator: the learner's.
      staging: where code and lists of packages are put; is needed until the program is launched.
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
            # Its machines come with cores and memory of their own.
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
    """Copies the packages that nodes import, and nothing that lies beside them."""
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))


def requirements(cuda: bool) -> str:
    """The packages that a container installs, each at one version, as `pip install -r` takes them.

    Args:
      cuda: whether JAX is to use a GPU.
    """
    pins: dict[str, str] = {}
    for path in _PINS:
        lines = (line.split(";")[0].strip() for line in path.read_text().splitlines())
        pins |= {_name(line): line for line in lines if line and not line.startswith("#")}
    if cuda:
        pins["jax"] = pins["jax"].replace("jax==", "jax[cuda12]==")
    return "".join(f"{line}\n" for line in pins.values())


def _name(line: str) -> str:
    return re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()


def to_executables(
    environment: Mapping[str, str], nodes: Sequence[Any], label: str, launch_context: context.LaunchContext
) -> list[tuple[Any, Any]]:
    """Launchpad's container for a pool, without what cannot be installed in it.

    Args:
      environment: variables of its processes.
      nodes: of the pool.
      label: of the pool.
      launch_context: of the nodes.
    """
    ((container, hardware),) = lp.PyNode.to_executables(nodes, label, launch_context)
    kept = [line for line in container.docker_instructions if not any(word in line for word in _DROPPED)]
    container.docker_instructions = kept + [f'ENV {name}="{value}"' for name, value in environment.items()]
    return [(container, hardware)]


class CloudLayout(layout.AgentLayout):
    """The layout of a run whose nodes nobody can signal: they end by what they read in its directory.

    Launchpad would have the program cancelled, which Vertex AI does not take for success.
    """

    def replay(self) -> list[reverb.Table]:
        end_with_run(self._directory)
        return super().replay()

    def counter(self) -> counting.Counter:
        end_with_run(self._directory)
        return super().counter()

    def learner(self, random_key: Key, replay: reverb.Client, counter: counting.Counter) -> LearnerRunner:
        end_with_run(self._directory)
        return super().learner(random_key, replay, counter)

    def actor(
        self,
        random_key: Key,
        replay: reverb.Client,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        actor_id: int,
    ) -> ReportingLoop:
        end_with_run(self._directory)
        return super().actor(random_key, replay, variable_source, counter, actor_id)

    def coordinator(self, counter: counting.Counter, max_actor_steps: int) -> StepsLimiter:
        end_with_run(self._directory)
        own = context.get_context()
        own.initialize(own.launch_type, own.launch_config, program_stopper=lambda: None)
        return super().coordinator(counter, max_actor_steps)

    def evaluator(
        self,
        random_key: Key,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        make_actor: Callable[..., core.Actor],
    ) -> Evaluator:
        end_with_run(self._directory)
        return super().evaluator(random_key, variable_source, counter, make_actor)


def end_with_run(directory: Path) -> None:
    """Ends this process some seconds after the run has: with code 0 where it finished, 1 where it failed.

    Failures that another attempt may not meet are left to Vertex AI, which starts failed nodes again.
    """

    def watch() -> None:
        while (code := _exit_code(directory)) is None:
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_END_SECONDS)
        os._exit(code)

    # Launchpad's alarm may come when Python no longer handles it, which would look like a failure, too.
    atexit.register(signal.signal, signal.SIGALRM, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def _exit_code(directory: Path) -> int | None:
    if run_directory.has_finished(directory):
        return 0
    failure = run_directory.read_failure(directory)
    return 1 if failure is not None and failure.is_final else None
