"""Tests of sending a run to Vertex AI, up to where the cloud is needed.

Launchpad does all that it would do; XManager, which is not installed, is replaced by a few lines that have
what Launchpad uses of it. What would run in the cloud is run by processes of this machine.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp
from absl import flags

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs import launch
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import layout
from acme_psro.agent_runs.vertex_ai import send
from acme_psro.system import tables

CONFIG = AgentRunConfig(
    "crossq",
    "openspiel:kuhn_poker",
    600,
    evaluate_every=150,
    agent_settings={
        "critic_hidden_sizes": [8],
        "policy_hidden_sizes": [8],
        "num_critics": 1,
        "policy_delay": 1,
    },
    replay_settings={"batch_size": 16, "min_replay_size": 40, "samples_per_insert": 4.0},
    distributed=True,
    num_actors=2,
    lp_launch_type="vertex_ai",
)
ROOT = pathlib.Path(__file__).resolve().parents[4]
LABELS = {"actor", "counter", "evaluator", "learner", "replay"}

# What Launchpad uses of XManager. An experiment keeps what it is given where $XMANAGER_KEEPS says.
_XM = """
import dataclasses
from typing import Any

GiB = 2**30


class JobRequirements:
    def __init__(self, replicas=1, **resources):
        self.replicas, self.resources = replicas, resources

    def __repr__(self):
        return f"{self.resources} {self.replicas}"


@dataclasses.dataclass
class CommandList:
    commands: list


@dataclasses.dataclass
class PythonContainer:
    path: str
    base_image: str
    entrypoint: CommandList
    docker_instructions: list


@dataclasses.dataclass
class Packageable:
    executable_spec: Any
    executor_spec: Any


@dataclasses.dataclass
class Job:
    executable: Any
    executor: Any


class JobGroup:
    def __init__(self, **jobs):
        self.jobs = jobs
"""
_XM_LOCAL = """
import json
import os
import pathlib
import shutil


class Caip:
    class Spec:
        pass

    def __init__(self, requirements):
        self.requirements = requirements


class create_experiment:
    def __init__(self, experiment_title):
        self.title, self.place = experiment_title, pathlib.Path(os.environ["XMANAGER_KEEPS"])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def package(self, packageables):
        (each,) = packageables
        return [each.executable_spec]

    def add(self, group):
        for number, job in group.jobs.items():
            container, requirements = job.executable, job.executor.requirements
            shutil.copytree(container.path, self.place / f"pool{int(number) - 1}")
            about = {
                "title": self.title,
                "base_image": container.base_image,
                "commands": container.entrypoint.commands,
                "instructions": container.docker_instructions,
                "replicas": requirements.replicas,
                "resources": requirements.resources,
            }
            (self.place / f"pool{int(number) - 1}.json").write_text(json.dumps(about))
"""


class Pool(NamedTuple):
    """Machines of a job: the settings passed to XManager, and the directory of their image."""

    about: dict[str, Any]
    code: pathlib.Path


@pytest.fixture
def xmanager(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Installs the fake XManager; returns the directory in which its experiments keep their arguments."""
    place = tmp_path / "stand_in"
    (place / "xmanager").mkdir(parents=True)
    for name, text in (("__init__", ""), ("xm", _XM), ("xm_local", _XM_LOCAL)):
        (place / "xmanager" / f"{name}.py").write_text(text)
    # Processes that are given it see this project only where their image has it.
    (place / "sitecustomize.py").write_text(
        f"import sys\n\nsys.path[:] = [each for each in sys.path if each != {str(ROOT)!r}]\n"
    )
    (tmp_path / "sent").mkdir()
    monkeypatch.setenv("XMANAGER_KEEPS", str(tmp_path / "sent"))
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)}
    before = set(sys.modules)
    yield tmp_path / "sent"
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in set(sys.modules) - before:
        if "xmanager" in name or "xm_docker" in name:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def parsed() -> None:
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def pools_of(sent: pathlib.Path) -> list[Pool]:
    return [Pool(json.loads(path.read_text()), path.with_suffix("")) for path in sorted(sent.glob("*.json"))]


def test_groups_of_nodes_have_machines_and_containers(
    xmanager: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `lp.launch` is given them."""
    given: dict[str, Any] = {}

    def record(made: lp.Program, launch_type: lp.LaunchType, xm_resources: dict[str, Any]) -> None:
        staged = {
            label: (
                {path.name for path in pathlib.Path(each.code_directory).iterdir()},
                pathlib.Path(each.docker_requirements).read_text(),
            )
            for label, each in xm_resources.items()
        }
        given.update(made=made, launch_type=launch_type, resources=xm_resources, staged=staged)

    monkeypatch.setattr(lp, "launch", record)
    send.send(CONFIG, tmp_path / "run")
    assert given["launch_type"] == lp.LaunchType.VERTEX_AI
    assert set(given["made"].groups) == set(given["resources"]) == LABELS
    from launchpad.nodes.python.xm_docker import DockerConfig

    assert all(type(each) is DockerConfig for each in given["resources"].values())
    hardware = {label: each.hw_requirements.resources for label, each in given["resources"].items()}
    services = {"cpu": 4, "ram": 15 * 2**30}
    assert hardware == {
        "learner": {"cpu": 8, "ram": 30 * 2**30, "T4": 1},
        "actor": {"cpu": 2, "ram": 13 * 2**30},
        **dict.fromkeys(("counter", "evaluator", "replay"), services),
    }
    for label, (code, listed) in given["staged"].items():
        assert code == {"acme_psro", "agents"}
        assert ("jax[cuda12]==" in listed) == (label == "learner")
    # A run that is begun there is one here.
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert len(stored.pop("made_by")) == 1
    assert stored == CONFIG.to_json()
    # Nothing is left of what was staged.
    assert not pathlib.Path(given["resources"]["learner"].code_directory).exists()


@pytest.mark.parametrize(
    ("accelerator", "resources"),
    [
        ("none", {"cpu": 8, "ram": 30 * 2**30}),
        ("V100", {"cpu": 8, "ram": 30 * 2**30, "V100": 1}),
        ("A100", {"A100": 1}),
    ],
)
def test_the_learners_machine_has_the_accelerator_that_is_asked_for(
    accelerator: str, resources: dict[str, int], xmanager: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    made = lp.Program("made")
    with made.group("learner"):
        made.add_node(lp.PyNode(print))
    asked = send.make_resources(made, accelerator, tmp_path / "staging")
    assert asked["learner"].hw_requirements.resources == resources
    listed = pathlib.Path(asked["learner"].docker_requirements).read_text()
    assert ("jax[cuda12]==" in listed) == (accelerator != "none")


def test_containers_have_one_version_of_every_package() -> None:
    lines = send.requirements(cuda=False).splitlines()
    names = [line.partition("==")[0] for line in lines]
    assert all(line.count("==") == 1 and ";" not in line for line in lines)
    assert len({name.lower().replace("_", "-") for name in names}) == len(lines)
    assert {"dm-acme", "dm-launchpad", "dm-reverb", "jax", "open_spiel", "xmanager"} <= set(names)
    # If both files name a package, the version for Vertex AI is used.
    assert "python-dateutil==2.9.0.post0" in lines
    other = set(send.requirements(cuda=True).splitlines()) ^ set(lines)
    assert {line.partition("==")[0] for line in other} == {"jax", "jax[cuda12]"}


def test_what_launchpad_makes_of_a_program(xmanager: pathlib.Path, tmp_path: pathlib.Path) -> None:
    send.send(CONFIG, tmp_path / "run")
    learner, *_ = pools = pools_of(xmanager)
    # Vertex AI has at most four pools, and the first must be a single machine.
    assert [pool.about["replicas"] for pool in pools] == [1, 4, 2]
    assert learner.about["resources"]["T4"] == 1
    for pool in pools:
        assert pool.about["title"] == "crossq"
        assert pool.about["base_image"] == "python:3.10"
        assert pool.about["commands"] == ["python -m process_entry --data_file=job.pkl"]
        instructions = "\n".join(pool.about["instructions"])
        assert "pip install -r requirements.txt" in instructions
        assert "libpython" not in instructions and "pip install xmanager" not in instructions
        assert {path.name for path in pool.code.iterdir()} == {
            *("acme_psro", "agents"),
            *("job.pkl", "process_entry.py", "requirements.txt"),
        }
        assert not list(pool.code.rglob("*.pyc"))
        sets = {line for line in pool.about["instructions"] if line.startswith("ENV ")}
        expected = {f'ENV {name}="{value}"' for name, value in layout.ON_CPU.items()}
        assert sets == (set() if pool is learner else expected)


def test_a_job_that_is_not_taken_is_one_line(
    xmanager: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(lp, "launch", refuse)
    assert launch.run(CONFIG, tmp_path / "run", time.monotonic()) == 1
    said = capfd.readouterr()
    assert said.err == "error: Vertex AI did not take the job (ConnectionError: no network)\n"


def test_what_is_refused_is_not_sent(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = dataclasses.replace(CONFIG, environment="openspiel:kuhn_pokr")
    assert launch.run(config, tmp_path / "run", time.monotonic()) == 2
    assert capfd.readouterr().err.startswith("error: unknown game 'kuhn_pokr'")
    assert not (tmp_path / "run").exists()


def _port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def _start(pools: list[Pool], stand_in: pathlib.Path, logs: pathlib.Path) -> list[subprocess.Popen[bytes]]:
    """Starts the process of each machine, in its image's directory and with the addresses of the others."""
    cluster = {
        f"workerpool{number}": [f"localhost:{_port()}" for _ in range(pool.about["replicas"])]
        for number, pool in enumerate(pools)
    }
    processes = []
    for number, pool in enumerate(pools):
        for index in range(pool.about["replicas"]):
            spec = {"cluster": cluster, "task": {"type": f"workerpool{number}", "index": index}}
            environment = os.environ | {
                "CLUSTER_SPEC": json.dumps(spec),
                "PYTHONPATH": str(stand_in),
                "JAX_PLATFORMS": "cpu",
            }
            command = [sys.executable, *pool.about["commands"][0].split()[1:]]
            with open(logs / f"{number}_{index}.log", "wb") as log:
                streams: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
                processes.append(subprocess.Popen(command, cwd=pool.code, env=environment, **streams))
    return processes


@pytest.mark.slow
def test_the_containers_programs_learn_and_end(
    xmanager: pathlib.Path, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The processes only use the installed packages and the files in their images' directories."""
    directory = tmp_path / "run"
    assert launch.run(CONFIG, directory, time.monotonic()) == 0
    assert "sent to Vertex AI: once " in capfd.readouterr().out
    processes = _start(pools_of(xmanager), tmp_path / "stand_in", xmanager)
    try:
        codes = [process.wait(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * 7, "\n".join(path.read_text()[-500:] for path in xmanager.glob("*.log"))
    finished = run_directory.read_finished(directory, CONFIG)
    assert finished is not None and finished.counts["actor_steps"] >= 600
    assert {"policy.npz", "learner.csv", "actor.csv", "actor_1.csv"} <= set(os.listdir(directory))
    # Once it has ended, the same again evaluates what was learned.
    assert launch.run(CONFIG, directory, time.monotonic()) == 0
    assert (directory / "evaluation.png").exists()
    assert tables.read(directory / "evaluation.csv")[-1]["actor_steps"] == finished.counts["actor_steps"]
