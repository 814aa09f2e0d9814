"""A lock that lets only one process at a time write to a directory."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

# File in the directory that is locked. It is hidden, and removed when the lock is released.
LOCK_FILE = ".lock"
# A file that its holder removes at this moment is tried again, so that only a holder is in the way.
_SECONDS = 0.2
_POLL_SECONDS = 0.02
# A directory that its holder removes at this moment is made again, at most so many times.
_MOST_ATTEMPTS = 20
# Errors of file systems that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class DirectoryLockedError(ValueError):
    """Another process holds the lock of a directory. The message is one line for the user."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Locks a directory for this process, and creates the directory if it does not exist.

    The lock is advisory: it excludes only processes that call this function too, also those of other machines
    that share the file system. It is held on a file in the directory, opened for writing, because network
    file systems refuse exclusive locks on anything else. The file is removed at the end; so is the directory,
    if it was created here and is still empty. The operating system releases the lock when the process ends,
    even if it is killed: the file that is then left behind does not lock anything. Programs that this process
    starts do not inherit the lock.

    Args:
      directory: the directory to lock.

    Raises:
      DirectoryLockedError: another process holds the lock.
      OSError: the directory or the file cannot be created.
    """
    missing: list[Path] = []
    path = directory / LOCK_FILE
    lock = None
    try:
        for attempt in range(_MOST_ATTEMPTS):
            missing = [each for each in (directory, *directory.parents) if not each.exists()] or missing
            try:
                directory.mkdir(parents=True, exist_ok=True)
                lock = _acquire(path, directory)
                break
            except FileNotFoundError:
                # A holder that had made the directory removes it as it ends.
                if attempt == _MOST_ATTEMPTS - 1:
                    raise
        yield
    finally:
        if lock is not None:
            # Before the release: another process could acquire the lock in between and lose its file.
            with contextlib.suppress(OSError):
                path.unlink()
        # rmdir refuses a directory that is not empty, so results are never deleted. `missing` lists the
        # innermost directory first, and it is removed before the lock is released.
        with contextlib.suppress(OSError):
            for made in missing:
                made.rmdir()
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release()


def _acquire(path: Path, directory: Path) -> FileLock | None:
    """Acquires the lock and writes its holder to the file.

    Returns:
      The lock, or None if the file system has no locks. Other processes cannot be detected then, and the run
      goes ahead with a warning.

    Raises:
      DirectoryLockedError: another process holds the lock.
      OSError: the file cannot be created.
    """
    # Imported here because it takes a tenth of a second, and reading a run locks nothing.
    from filelock import FileLock, Timeout

    # Locks of one process exclude each other, in other threads as well.
    lock = FileLock(path, timeout=_SECONDS, thread_local=False)
    try:
        with warnings.catch_warnings():
            # On a file system without locks, the library takes the existence of the file for one, and warns.
            warnings.simplefilter("ignore")
            lock.acquire(poll_interval=_POLL_SECONDS)
    except Timeout:
        raise DirectoryLockedError(
            f"another process is at work in {directory}{_read_holder(path)}: wait for it to end, or choose "
            "another --output_dir."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        path.unlink(missing_ok=True)
        print(
            f"warning: the file system of {directory} has no locks: start no other process in it.",
            file=sys.stderr,
        )
        return None
    # Only a help for others: without it, the lock holds just as well. A killed holder may have left its own
    # name. Without locks of the file system, the library has written this process there already, in its form.
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8").split("\n", 1)[0] != str(os.getpid()):
            path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
    return lock


def _read_holder(path: Path) -> str:
    """Returns the process that holds the lock, in parentheses, or nothing if its file does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        process, host = path.read_text(encoding="utf-8").splitlines()[:2]
        place = "" if host == socket.gethostname() else f" on {host}"
        return f" (process {int(process)}{place})"
    return ""
