"""A lock that lets only one process at a time write to a directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class DirectoryLockedError(ValueError):
    """Another process holds the lock of a directory. The message is one line for the user."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Locks a directory for this process, and creates the directory if it does not exist.

    The lock is advisory: it excludes only processes that call this function too. It is held on the directory
    itself, so no lock file is left behind. If the directory was created here and is still empty at the end,
    it is removed. The operating system releases the lock when the process ends, even if it is killed.
    Programs that this process starts do not inherit the lock.

    Args:
      directory: the directory to lock.

    Raises:
      DirectoryLockedError: another process holds the lock.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    # Python marks the descriptor as non-inheritable, so a program started meanwhile cannot keep the lock
    # alive.
    try:
        _lock(descriptor, directory)
        yield
    finally:
        # rmdir refuses a directory that is not empty, so results are never deleted. `missing` lists the
        # innermost directory first, and it is removed before the lock is released.
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DirectoryLockedError(
            f"another process is at work in {directory}: wait for it to end, or choose another --output_dir."
        ) from None
    except OSError:
        # The file system does not support locks, so other processes cannot be detected. The run goes ahead.
        pass
