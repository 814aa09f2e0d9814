"""Checks that are made before a program is sent to Vertex AI. They send and write nothing.

The imports are kept light. Heavy packages are imported only by the check that needs them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
import warnings
from pathlib import Path

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.config import AgentRunConfig

# Directory where machines of Vertex AI mount buckets of Cloud Storage.
BUCKETS = Path("/gcs")
_INSTALL = "pip install -r acme_psro/agent_runs/vertex_ai/vertex_ai.txt"
_NEEDED = ("xmanager", "google.cloud.aiplatform")
_LAUNCHER = "launchpad.launch.xm_docker.launch"
_BUCKET = "GOOGLE_CLOUD_BUCKET_NAME"
# A run that wrote something more recently than this is assumed to be still running.
_QUIET_SECONDS = 300.0


def check(config: AgentRunConfig, directory: Path) -> None:
    """Makes all checks, the fastest ones first.

    Args:
      config: configuration of the run.
      directory: output directory of the run.

    Raises:
      ValueError: a requirement is missing. The message gives a remedy.
    """
    _check_directory("--output_dir", directory)
    if config.opponent is not None:
        _check_directory("--opponent", Path(config.opponent))
    _check_installed()
    _check_project()
    _check_idle(directory)


def _check_directory(flag: str, directory: Path) -> None:
    """Checks that a directory is in a mounted bucket, because nodes exchange their results through files."""
    parts = directory.parts[len(BUCKETS.parts) :]
    if not directory.is_relative_to(BUCKETS) or len(parts) < 2 or ".." in parts:
        raise ValueError(
            f"{flag}={directory} is on this machine alone: in Vertex AI it must be in a bucket, as "
            f"{BUCKETS}/BUCKET/RUN."
        )
    bucket = BUCKETS / parts[0]
    if not bucket.is_dir():
        raise ValueError(
            f"there is no {bucket} here: mount the bucket as Vertex AI does (gcsfuse {parts[0]} {bucket})."
        )


def _check_installed() -> None:
    """Checks that XManager and Launchpad are installed in releases that fit together."""
    missing = [name for name in _NEEDED if not _is_there(name)]
    if missing:
        named = " and ".join(name.replace(".", "-") for name in missing)
        raise ValueError(f"--lp_launch_type=vertex_ai needs {named}: {_INSTALL}.")
    if not _is_there(_LAUNCHER):
        raise ValueError(
            f"this Launchpad has no {_LAUNCHER}, which sends programs to Vertex AI: dm-launchpad 0.5.0 does."
        )
    # XManager is imported, and not only looked up, because the import may fail with the installed protobuf.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("xmanager.cloud.vertex")
            found = hasattr(importlib.import_module("xmanager.xm_local"), "Caip")
    except Exception as error:
        raise ValueError(
            f"the xmanager here cannot be imported ({type(error).__name__}: {error}): {_INSTALL}."
        ) from None
    if not found:
        raise ValueError(f"Launchpad asks for xmanager.xm_local.Caip, which this xmanager lacks: {_INSTALL}.")


def _is_there(name: str) -> bool:
    """Returns True if a module can be found. Its parent packages are imported, but not the module itself."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _check_project() -> None:
    """Checks that a Google Cloud project and a bucket for the containers' source files are configured.

    The project is found in the same way as XManager finds it.
    """
    import google.auth  # type: ignore[import-not-found, import-untyped]
    from google.auth import exceptions

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, project = google.auth.default()
    except exceptions.DefaultCredentialsError:
        project = None
    if not project:
        raise ValueError(
            "no Google Cloud project is configured: run `gcloud auth application-default login` and "
            "`gcloud config set project PROJECT`."
        )
    if not os.environ.get(_BUCKET):
        raise ValueError(f"no bucket to build containers from: set {_BUCKET} to one of the project's.")


def _check_idle(directory: Path) -> None:
    """Checks that no other job seems to be writing to the directory."""
    failure = run_directory.read_failure(directory)
    if run_directory.has_finished(directory) or (failure is not None and failure.is_final):
        return
    # This process cannot ask the machines of another job, so it looks at the age of the newest table.
    tables = [path.stat().st_mtime for path in directory.glob("*.csv")]
    quiet = time.time() - max(tables, default=0.0)
    if quiet < _QUIET_SECONDS:
        raise ValueError(
            f"a job seems to be at work in {directory}, which changed {quiet:.0f} s ago: wait for it, or "
            f"cancel it and try again {_QUIET_SECONDS:.0f} s later."
        )
