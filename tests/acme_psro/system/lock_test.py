"""Tests of the lock that lets one process at a time use a directory."""

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from acme_psro.system.lock import LOCK_FILE, DirectoryLockedError, locked

# A process that holds the lock until it is killed, and starts a child that outlives it.
_HOLDER = """
import pathlib, subprocess, sys, time
from acme_psro.system.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""

# A process that takes the lock time and again, and notices if another one has it too.
_CONTENDER = """
import os, pathlib, sys, time
from acme_psro.system.lock import DirectoryLockedError, locked
directory, held, times = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 0
deadline = time.monotonic() + 60
while times < 40 and time.monotonic() < deadline:
    try:
        with locked(directory):
            os.close(os.open(held, os.O_CREAT | os.O_EXCL))
            held.unlink()
            times += 1
    except DirectoryLockedError:
        pass
print(times)
"""


def test_directory_is_made_and_stays_if_something_is_in_it(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "runs" / "run"
    with locked(directory):
        assert list(directory.iterdir()) == [directory / LOCK_FILE]
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
            pytest.raises(DirectoryLockedError, match=rf"at work in .* \(process {os.getpid()}\): wait"),
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


def test_file_of_a_killed_holder_is_in_nobodys_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / LOCK_FILE).write_text("1\nanother-machine\n")
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text().split()[0] == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_lock_is_on_a_file_that_is_open_for_writing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems refuse exclusive locks on descriptors that are open for reading alone."""
    modes, flock = [], fcntl.flock

    def record(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX:
            modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", record)
    with locked(tmp_path):
        pass
    assert set(modes) == {os.O_RDWR}


def test_holder_on_another_machine_is_named(tmp_path: pathlib.Path) -> None:
    with locked(tmp_path):
        (tmp_path / LOCK_FILE).write_text("12\nanother-machine\n")
        with (
            pytest.raises(DirectoryLockedError, match=r"\(process 12 on another-machine\)"),
            locked(tmp_path),
        ):
            pass


def test_processes_that_come_and_go_never_hold_it_together(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", _CONTENDER, str(tmp_path / "run"), str(tmp_path / "held")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["40\n"] * 3
    # Two of them may each take the other for the one that made the directory.
    assert [path for path in tmp_path.rglob("*") if path != tmp_path / "run"] == []


def test_file_system_without_locks_is_a_warning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        (tmp_path / "file").touch()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert capsys.readouterr().err == (
        f"warning: the file system of {tmp_path} has no locks: start no other process in it.\n"
    )


def test_errors_other_than_missing_locks_are_raised(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Any, *others: Any, **more: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(OSError, match="No space left on device"), locked(tmp_path / "run"):
            pass
    assert list(tmp_path.iterdir()) == []
