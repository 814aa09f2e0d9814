"""Changes of a job's directory on another machine, which come back while the job runs.

Files come back whole. A checkpoint, a directory `checkpoints/NUMBER` that appears complete and never changes,
comes back whole too: it is there with all of its files or not at all. The file that marks results as complete
comes last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from acme_psro.system import bundles

# Directories of this name hold checkpoints, as directories whose names are numbers.
_CHECKPOINTS = "checkpoints"
_INCOMING = ".incoming-"
# A file that keeps changing, such as a log, takes no more than this of the network.
_BYTES_A_SECOND = 2**20

Stamp = tuple[int, int, int]


class Changes(NamedTuple):
    """Files that were written or removed since the last look.

    Attributes:
      number: the number of this look. Changes are offered again until it is acknowledged.
      files: contents by relative path.
      removed: paths of files that are no more.
    """

    number: int
    files: dict[str, bytes]
    removed: list[str]


def list_files(directory: Path) -> dict[str, Stamp]:
    """Returns size, time of modification and inode of every file, by relative path.

    Hidden files and files that are being written under temporary names are left out.
    """
    found: dict[str, Stamp] = {}
    for place, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not _is_temporary(name))
        for name in sorted(names):
            path = Path(place, name)
            key = path.relative_to(directory).as_posix()
            # Whatever the files of a complete checkpoint are called, all of them belong to it.
            if _is_temporary(name) and _checkpoint_of(key) is None:
                continue
            # A file may be removed between the listing and the look at it.
            with contextlib.suppress(FileNotFoundError):
                about = path.stat()
                found[key] = (about.st_size, about.st_mtime_ns, about.st_ino)
    return found


def read_files(directory: Path) -> dict[str, bytes]:
    """Returns the content of every file that `list_files` lists; a file that vanishes is left out."""
    found = {}
    for path in list_files(directory):
        with contextlib.suppress(FileNotFoundError):
            found[path] = (directory / path).read_bytes()
    return found


class Outgoing:
    """The changes of a directory since they were last acknowledged.

    Args:
      directory: the directory, with the files that the other side has already.
      marker: the file that marks results as complete, or "".
    """

    def __init__(self, directory: Path, marker: str) -> None:
        self._directory, self._marker = directory, marker
        self._known = self._offered = list_files(directory)
        self._number = 0
        self._sent: dict[str, float] = {}

    def look(self, acknowledged: int, is_last: bool) -> Changes:
        """Returns the changes.

        Args:
          acknowledged: the number of the last changes that have arrived.
          is_last: True if the job has ended, so that nothing changes any more.
        """
        if acknowledged == self._number:
            self._known = self._offered
        now = list_files(self._directory)
        changed = [path for path, stamp in now.items() if self._known.get(path) != stamp]
        checkpoints = {_checkpoint_of(path) for path in changed} - {None}
        if not (is_last or checkpoints):
            changed = [path for path in changed if not self._is_early(path, now[path])]
        if not is_last:
            changed = [path for path in changed if path != self._marker]
        files = self._read(changed)
        removed = sorted(self._known.keys() - now.keys())
        kept = {path: stamp for path, stamp in self._known.items() if path in now}
        self._offered = {**kept, **{path: now[path] for path in files}}
        self._number += 1
        self._sent |= dict.fromkeys(files, time.monotonic())
        return Changes(self._number, files, removed)

    def _is_early(self, path: str, stamp: Stamp) -> bool:
        """Returns True if a file was sent only a moment ago, in view of its size."""
        return time.monotonic() - self._sent.get(path, -1e9) < stamp[0] / _BYTES_A_SECOND

    def _read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Returns contents by path. A checkpoint of which a file has vanished is left out as a whole."""
        files, broken = {}, set()
        for path in paths:
            try:
                files[path] = (self._directory / path).read_bytes()
            except FileNotFoundError:
                broken.add(_checkpoint_of(path))
        gone = broken - {None}
        return {path: data for path, data in files.items() if _checkpoint_of(path) not in gone}


def apply(directory: Path, files: Mapping[str, bytes], removed: Iterable[str], marker: str) -> None:
    """Makes the same changes in the job's directory on this machine.

    Args:
      directory: the directory, which is made if it does not exist.
      files: contents by relative path.
      removed: paths of files to remove.
      marker: the file that is written last, or "".

    Raises:
      BundleError: a path leads out of the directory; nothing is changed.
      OSError: a file cannot be written.
    """
    bundles.check_paths([*files, *removed])
    whole: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        checkpoint = _checkpoint_of(path)
        if checkpoint is not None:
            whole.setdefault(checkpoint, {})[path.removeprefix(f"{checkpoint}/")] = data
    single = {path: data for path, data in files.items() if _checkpoint_of(path) is None and path != marker}
    bundles.write(directory, single)
    for checkpoint, content in whole.items():
        _write_whole(directory, checkpoint, content)
    # After the new checkpoint is there, so that there is always one.
    for path in removed:
        _remove(directory, path)
    if marker in files:
        bundles.write(directory, {marker: files[marker]})


def tidy(directory: Path) -> None:
    """Removes what a process that was killed has left half-written."""
    for left in directory.glob(f"{_INCOMING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _write_whole(directory: Path, checkpoint: str, content: Mapping[str, bytes]) -> None:
    place = directory / checkpoint
    if place.exists():
        return
    # Not beside the other checkpoints, because their library takes every directory there for one of them.
    incoming = directory / f"{_INCOMING}{uuid.uuid4().hex}"
    try:
        bundles.write(incoming, content)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(incoming, place)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _remove(directory: Path, path: str) -> None:
    checkpoint = _checkpoint_of(path)
    if checkpoint is not None:
        shutil.rmtree(directory / checkpoint, ignore_errors=True)
    else:
        (directory / path).unlink(missing_ok=True)


def _checkpoint_of(path: str) -> str | None:
    """Returns the checkpoint to which a file belongs, as a relative path; None if it belongs to none."""
    parts = path.split("/")
    for index, part in enumerate(parts[:-2]):
        if part == _CHECKPOINTS and parts[index + 1].isdigit():
            return "/".join(parts[: index + 2])
    return None


def _is_temporary(name: str) -> bool:
    return name.startswith(".") or name.endswith(".tmp") or "orbax-checkpoint-tmp" in name
