"""Tests of the requirements that are checked before a program is sent to Vertex AI."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import time
import types

import pytest

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.vertex_ai import checks

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import google.auth
from google.auth import exceptions

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000, distributed=True, lp_launch_type="vertex_ai")
INSTALL = "pip install -r acme_psro/agent_runs/vertex_ai/vertex_ai.txt"


@pytest.fixture
def ready(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Sets up all requirements and returns the directory of a run."""
    monkeypatch.setattr(checks, "BUCKETS", tmp_path / "gcs")
    (tmp_path / "gcs" / "bucket").mkdir(parents=True)
    monkeypatch.setattr(checks, "_is_there", lambda name: True)
    xm_local = types.ModuleType("xmanager.xm_local")
    xm_local.Caip = object  # type: ignore[attr-defined]
    for name in ("xmanager", "xmanager.cloud", "xmanager.cloud.vertex"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "xmanager.xm_local", xm_local)
    monkeypatch.setattr(google.auth, "default", lambda: (None, "project"))
    monkeypatch.setenv("GOOGLE_CLOUD_BUCKET_NAME", "bucket")
    return tmp_path / "gcs" / "bucket" / "runs" / "kuhn"


def refused(directory: pathlib.Path, config: AgentRunConfig = CONFIG) -> str:
    with pytest.raises(ValueError) as caught:
        checks.check(config, directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_ready_is_accepted_and_nothing_is_written(ready: pathlib.Path) -> None:
    checks.check(CONFIG, ready)
    assert list(ready.parent.parent.iterdir()) == []


@pytest.mark.parametrize(
    "place", ["runs/kuhn", "/tmp/runs/kuhn", "{gcs}", "{gcs}/bucket", "{gcs}/bucket/../x"]
)
def test_a_directory_of_this_machine_is_refused(place: str, ready: pathlib.Path) -> None:
    buckets = checks.BUCKETS
    message = refused(pathlib.Path(place.format(gcs=buckets)))
    assert f"it must be in a bucket, as {buckets}/BUCKET/RUN" in message


def test_so_are_opponents_that_only_this_machine_has(ready: pathlib.Path) -> None:
    message = refused(ready, dataclasses.replace(CONFIG, opponent="runs/leduc"))
    assert message.startswith("--opponent=runs/leduc is on this machine alone")
    checks.check(dataclasses.replace(CONFIG, opponent=str(ready / "leduc")), ready)


def test_a_bucket_must_be_mounted_here_too(ready: pathlib.Path) -> None:
    other = checks.BUCKETS / "other"
    assert f"gcsfuse other {other}" in refused(other / "kuhn")


@pytest.mark.parametrize(
    ("lacking", "named"),
    [
        (("xmanager", "google.cloud.aiplatform"), "needs xmanager and google-cloud-aiplatform: "),
        (("google.cloud.aiplatform",), "needs google-cloud-aiplatform: "),
    ],
)
def test_missing_packages_are_named(
    lacking: tuple[str, ...], named: str, ready: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_is_there", lambda name: name not in lacking)
    message = refused(ready)
    assert named + INSTALL in message


def test_packages_are_looked_for_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks._is_there("json")
    assert not checks._is_there("no_such_package")
    assert not checks._is_there("no_such_package.below.it")


def test_the_launchpad_that_is_installed_can_send_programs() -> None:
    assert checks._is_there("launchpad.launch.xm_docker.launch")


def test_a_launchpad_that_cannot_is_refused(ready: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_is_there", lambda name: not name.startswith("launchpad"))
    assert "this Launchpad has no launchpad.launch.xm_docker.launch" in refused(ready)


def test_an_xmanager_that_cannot_be_imported_is_refused(
    ready: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Python has it for a module that must not be imported.
    monkeypatch.setitem(sys.modules, "xmanager.cloud.vertex", None)
    message = refused(ready)
    assert message.startswith("the xmanager here cannot be imported (ModuleNotFoundError: ")
    assert message.endswith(INSTALL + ".")


def test_an_xmanager_without_what_launchpad_asks_for_is_refused(
    ready: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xmanager.xm_local", types.ModuleType("xmanager.xm_local"))
    assert refused(ready).startswith("Launchpad asks for xmanager.xm_local.Caip, which this xmanager lacks")


def test_a_project_must_be_configured(ready: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_credentials() -> None:
        raise exceptions.DefaultCredentialsError

    for default in (no_credentials, lambda: (None, None)):
        monkeypatch.setattr(google.auth, "default", default)
        message = refused(ready)
        assert message.startswith("no Google Cloud project is configured: run `gcloud auth ")


def test_a_bucket_to_build_from_must_be_named(ready: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_BUCKET_NAME")
    assert "set GOOGLE_CLOUD_BUCKET_NAME" in refused(ready)


def test_two_jobs_do_not_write_to_one_directory(ready: pathlib.Path) -> None:
    ready.mkdir(parents=True)
    (ready / "learner.csv").write_text("actor_steps\n1\n")
    assert "a job seems to be at work in" in refused(ready)
    os.utime(ready / "learner.csv", (time.time() - 1000,) * 2)
    checks.check(CONFIG, ready)
    os.utime(ready / "learner.csv")
    failure = {"kind": "ValueError", "message": "no", "is_final": False}
    (ready / "failure.json").write_text(json.dumps(failure))
    assert "a job seems to be at work in" in refused(ready)
    (ready / "failure.json").write_text(json.dumps(failure | {"is_final": True}))
    checks.check(CONFIG, ready)
    (ready / "failure.json").unlink()
    (ready / "finished.json").write_text('{"actor_steps": 1000.0}')
    checks.check(CONFIG, ready)
