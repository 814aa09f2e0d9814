"""Tests of the end of nodes in Vertex AI."""

from __future__ import annotations

import pathlib
import sys

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.vertex_ai import cloud_layout


@pytest.mark.parametrize(
    ("finished", "failure", "code"),
    [
        (False, None, None),
        (True, None, 0),
        (False, ValueError("a mistake"), 1),
        # Vertex AI starts the node again that met it.
        (False, ConnectionResetError("a loss"), None),
    ],
)
def test_nodes_end_as_the_run_does(
    finished: bool, failure: Exception | None, code: int | None, tmp_path: pathlib.Path
) -> None:
    if failure is not None:
        run_directory.write_failure(tmp_path, failure)
    if finished:
        run_directory.write_ending(tmp_path, {"actor_steps": 600.0})
        run_directory.finish(tmp_path)
    assert cloud_layout._exit_code(tmp_path) == code
