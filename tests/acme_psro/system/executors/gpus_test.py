"""Tests of jobs on a node that says that it has GPUs: what their commands see of these."""

import json
import pathlib
import sys
from collections.abc import Iterator

import pytest

from acme_psro.system.executors.choose import make_executor
from acme_psro.system.jobs import Job
from acme_psro.system.supervision import run_all
from tests.acme_psro.system.executors import ray_nodes

_NAMES = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "TAG")
_SCRIPT = f"""
import json, os, pathlib, sys
seen = {{name: os.environ.get(name) for name in {_NAMES!r}}}
pathlib.Path(sys.argv[1], "done").write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Nodes]:
    # Ray takes the number for granted, as it does with CPUs.
    with ray_nodes.cluster(num_nodes=1, num_cpus=2, num_gpus=2) as found:
        yield found


def _seen(
    nodes: ray_nodes.Nodes, place: pathlib.Path, gpus: float, number: int = 1
) -> list[dict[str, str | None]]:
    """Returns what jobs, side by side, see in their environment."""
    directories = [place / f"{gpus}_{index}" for index in range(number)]
    jobs = [
        Job(
            directory.name,
            (sys.executable, "-c", _SCRIPT, str(directory)),
            (directory / "done").exists,
            environment={"TAG": "own"},
            directory=directory,
            marker="done",
        )
        for directory in directories
    ]
    executor = make_executor(nodes.placing(gpus_per_response=gpus))
    run_all(jobs, executor=executor, at_once=executor.room(1), poll_seconds=0.02)
    return [json.loads((directory / "done").read_text()) for directory in directories]


def test_each_job_sees_the_gpus_that_it_was_given(nodes: ray_nodes.Nodes, tmp_path: pathlib.Path) -> None:
    both = _seen(nodes, tmp_path, 1, number=2)
    assert sorted(str(each["CUDA_VISIBLE_DEVICES"]) for each in both) == ["0", "1"]
    assert all(each["JAX_PLATFORMS"] != "cpu" and each["TAG"] == "own" for each in both)
    (whole,) = _seen(nodes, tmp_path, 2)
    assert whole["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_share_of_a_gpu_is_a_share_of_one(nodes: ray_nodes.Nodes, tmp_path: pathlib.Path) -> None:
    assert all(each["CUDA_VISIBLE_DEVICES"] in ("0", "1") for each in _seen(nodes, tmp_path, 0.5, number=2))


def test_a_job_that_asked_for_no_gpu_sees_none(nodes: ray_nodes.Nodes, tmp_path: pathlib.Path) -> None:
    (seen,) = _seen(nodes, tmp_path, 0)
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["JAX_PLATFORMS"]) == ("", "cpu")
