"""Keeps processes apart that would write to the same directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class DirectoryLockedError(ValueError):
    """Another process is at work in a directory; the message is one line for the user."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Has a directory for this process alone, among all that ask; makes it where there is none.

    The lock is on the directory itself and leaves nothing there; a directory that was made and stayed empty
    is removed. The lock is gone when the process is, killed or not; processes that it starts do not have it.

    Raises:
      DirectoryLockedError: another process has it.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        _lock(descriptor, directory)
        yield
    finally:
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
        # A file system without locks: there is nothing that could tell.
        pass
