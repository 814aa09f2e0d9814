"""Tests of process groups. The supervision of jobs is tested in supervision_test.py."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from acme_psro.system.process_groups import Group, end_all, interruptible, is_alive

PYTHON = (sys.executable, "-I", "-S", "-c")


@pytest.fixture(autouse=True)
def scratch(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_last_line_is_the_last_that_says_something() -> None:
    group = Group(
        (*PYTHON, "import sys; print('one', flush=True); print('two\\n\\n  ', file=sys.stderr)"), {}
    )
    wait_until(lambda: group.poll() is not None)
    assert group.last_line() == "two"
    group.end(0.0)
    silent = Group((*PYTHON, ""), {})
    wait_until(lambda: silent.poll() is not None)
    assert silent.last_line() == ""
    silent.end(0.0)


def test_the_child_reads_nothing_of_ours(scratch: pathlib.Path) -> None:
    group = Group((*PYTHON, "import sys; sys.exit(7 if sys.stdin.read() == '' else 0)"), {})
    wait_until(lambda: group.poll() == 7)
    group.end(0.0)
    # Called twice, as after a first call that was interrupted.
    group.end(0.0)
    assert list(scratch.iterdir()) == []


def test_groups_are_given_their_time_together(scratch: pathlib.Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    groups = [Group((*PYTHON, f"{deaf}; time.sleep(60)"), {}) for _ in range(3)]
    wait_until(lambda: all(group.last_line() == "deaf" for group in groups))
    began = time.monotonic()
    end_all(groups, 1.0)
    assert 1.0 <= time.monotonic() - began < 2.9
    assert [group.poll() for group in groups] == [-signal.SIGKILL] * 3
    assert list(scratch.iterdir()) == []


def test_what_has_ended_is_not_alive_even_before_anybody_noticed() -> None:
    child = subprocess.Popen((*PYTHON, "import time; time.sleep(60)"), start_new_session=True)
    assert is_alive(child.pid)
    child.kill()
    # Waits without asking for the exit code, because that would remove the zombie.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid)
    child.wait()
    assert not is_alive(child.pid)


def test_a_request_to_end_becomes_ctrl_c_and_is_itself_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before
