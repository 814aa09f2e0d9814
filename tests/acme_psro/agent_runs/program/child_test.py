"""Tests of the ends of Launchpad programs, with a manager that has no processes."""

from __future__ import annotations

import pathlib
import threading

import pytest

pytest.importorskip("launchpad")

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.program import child
from acme_psro.system.jobs import LOST_A_PART


class Manager:
    """A manager whose first process ends at once, asked to or not."""

    def __init__(self, is_asked: bool) -> None:
        self._stopping = threading.Event()
        if is_asked:
            self._stopping.set()

    def wait(self, **options: bool) -> None:
        del options

    def stop_event(self) -> threading.Event:
        return self._stopping


@pytest.mark.parametrize(
    ("is_asked", "has_failed", "code"), [(True, False, 0), (False, True, 1), (False, False, LOST_A_PART)]
)
def test_a_process_that_ends_without_a_word_was_killed(
    is_asked: bool,
    has_failed: bool,
    code: int,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signals: list[int] = []
    monkeypatch.setattr(child, "_REQUEST_SECONDS", 0.0)
    monkeypatch.setattr(child.os, "kill", lambda pid, number: signals.append(number))
    if has_failed:
        run_directory.write_failure(tmp_path, OSError("No space left on device"))
    assert child.wait(Manager(is_asked), tmp_path) == code
    assert len(signals) == (not is_asked)
    failure = run_directory.read_failure(tmp_path)
    assert (failure is None) == is_asked
    if has_failed:
        assert failure is not None and failure.kind == "OSError"
