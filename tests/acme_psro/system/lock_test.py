"""Tests of the lock that lets one process at a time use a directory."""

import pathlib
import signal
import subprocess
import sys

import pytest

from acme_psro.system.lock import DirectoryLockedError, locked

# A process that holds the lock until it is killed, and starts a child that outlives it.
_HOLDER = """
import pathlib, subprocess, sys, time
from acme_psro.system.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_directory_is_made_and_stays_if_something_is_in_it(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "runs" / "run"
    with locked(directory):
        assert list(directory.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
    with locked(directory):
        (directory / "file").touch()
    assert list(directory.iterdir()) == [directory / "file"]
    with locked(directory):
        (directory / "file").unlink()
    # This time the directory existed before.
    assert directory.is_dir()


def test_second_holder_is_refused_until_the_first_is_done(tmp_path: pathlib.Path) -> None:
    with locked(tmp_path):
        with (
            pytest.raises(DirectoryLockedError, match=r"another process is at work in .*: wait"),
            locked(tmp_path),
        ):
            pass
        with locked(tmp_path / "inside"):
            pass
        assert tmp_path.is_dir()
    with locked(tmp_path):
        pass


def test_killed_process_has_it_no_more_though_its_child_lives_on(tmp_path: pathlib.Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(DirectoryLockedError), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with locked(tmp_path):
            pass
    finally:
        holder.kill()
        holder.stdout.close()
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(child)], check=True)
