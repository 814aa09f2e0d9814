"""Tests of the recipes on the page about clusters: files that parse, of fields and flags that exist."""

import pathlib
import re
import shlex
import subprocess
from typing import Any

import pytest
import yaml
from absl import flags

from acme_psro.commands import run_psro

_PAGE = (pathlib.Path(__file__).resolve().parents[1] / "docs" / "guides" / "clusters.md").read_text()
# Fields of KubeRay's types in the API `ray.io/v1`, as far as the recipe could use them.
_JOB = {
    "entrypoint",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
    "rayClusterSpec",
    "submissionMode",
}
_CLUSTER = {"rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling"}
_HEAD = {"rayStartParams", "template", "serviceType"}
_WORKERS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


@pytest.fixture
def job() -> dict[str, Any]:
    """The file for KubeRay."""
    (text,) = re.findall(r"```yaml\n(.*?)```", _PAGE, re.DOTALL)
    return yaml.safe_load(text)


def _check_command(words: list[str]) -> None:
    """Checks that words are a command of this package with flags that exist."""
    assert words[:2] == ["acme-psro", "run"]
    known = run_psro.FLAGS
    names = [word.removeprefix("--").partition("=")[0] for word in words[2:]]
    assert [name for name in names if name not in known] == []
    assert isinstance(known, flags.FlagValues) and "executor" in names and "output_dir" in names


def test_the_job_of_kuberay_has_fields_that_exist(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert set(job["spec"]) <= _JOB and set(cluster) <= _CLUSTER
    assert set(cluster["headGroupSpec"]) <= _HEAD
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container)
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= _WORKERS and group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    _check_command(shlex.split(job["spec"]["entrypoint"]))


def test_the_run_of_kuberay_is_kept_on_a_volume_of_the_head(job: dict[str, Any]) -> None:
    pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (mount,), (volume,) = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    assert f"--output_dir={mount['mountPath']}/" in job["spec"]["entrypoint"]


def test_the_script_of_slurm_parses_and_has_flags_that_exist() -> None:
    (script,) = re.findall(r"```\n(#!/bin/bash\n#SBATCH.*?)```", _PAGE, re.DOTALL)
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    command = re.sub(r"\\\n", "", script).partition(" -- ")[2].partition("$(")[0]
    _check_command(shlex.split(command))
