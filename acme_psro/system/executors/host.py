"""The part of a job that runs on a machine of the cluster: its command, its files, and what changes in them.

It knows nothing of Ray, whose actor it becomes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from acme_psro.system import bundles, compiled_programs
from acme_psro.system.executors import paths
from acme_psro.system.executors.changes import Changes, Outgoing
from acme_psro.system.process_groups import Group

ROOT = str(Path(__file__).resolve().parents[3])
# A job that nobody has asked for during this time is ended: its driver is gone, or cannot be reached.
_ALONE_SECONDS = 300.0
_POLL_SECONDS = 0.05
_CACHE = "JAX_COMPILATION_CACHE_DIR"


class Order(NamedTuple):
    """A command as the machine that asks for it would run it.

    Attributes:
      command: the program, with its arguments.
      environment: environment variables, in addition to those of the machine.
      python: the interpreter of the machine that asks.
      root: the directory of this package there.
      named: paths that the command may name.
      directory: the job's directory, one of `named`; "" if no files travel.
      marker: the file that marks results as complete, or "".
      current: the current directory, if no files travel.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    python: str
    root: str
    named: tuple[str, ...]
    directory: str
    marker: str
    current: str


class Report(NamedTuple):
    """State of a job.

    Attributes:
      number: the number of the changes, which the next call acknowledges.
      code: the exit code, or None while the command runs.
      line: the last line that was printed.
      changed: a bundle of the files that have changed.
      removed: paths of files that are no more.
    """

    number: int
    code: int | None
    line: str
    changed: bytes
    removed: list[str]


class Host:
    """Jobs on this machine, one after the other. Its methods may be called by several threads."""

    def __init__(self) -> None:
        self._group: Group | None = None
        self._scratch: Path | None = None
        self._outgoing: Outgoing | None = None
        self._pairs: list[tuple[str, str]] = []
        self._asked = time.monotonic()
        self._lock = threading.Lock()

    def start(self, order: Order, bundle: bytes) -> None:
        """Unpacks the job's files and starts its command.

        Args:
          order: the command.
          bundle: the job's files, by their place in the scratch directory; see `paths.place_of`.

        Raises:
          BundleError: the files are not those that were packed.
          OSError: there is no room for them, or the program does not exist.
        """
        files = bundles.unpack(bundle)
        with self._lock:
            self._outgoing, self._pairs = None, []
            self._asked = time.monotonic()
            self._scratch = Path(tempfile.mkdtemp(prefix="acme_psro_"))
            try:
                self._group = self._launch(order, files)
            except BaseException:
                shutil.rmtree(self._scratch, ignore_errors=True)
                raise
        threading.Thread(target=self._end_if_alone, args=(self._group,), daemon=True).start()

    def _launch(self, order: Order, files: Mapping[str, bytes]) -> Group:
        assert self._scratch is not None
        python = [(order.python, sys.executable)]
        if order.directory:
            root = self._scratch / "files"
            bundles.write(root, files)
            self._pairs = paths.make_pairs(map(Path, order.named), str(root))
            directory = Path(dict(self._pairs)[order.directory])
            directory.mkdir(parents=True, exist_ok=True)
            self._outgoing = Outgoing(directory, order.marker)
        command = [paths.replace(each, [*python, *self._pairs]) for each in order.command]
        variables = paths.replace_root(order.environment, order.root, ROOT)
        environment = {name: paths.replace(value, self._pairs) for name, value in variables.items()}
        if _CACHE in environment:
            # The directory is one of the other machine's processor, whose code may not run here.
            environment |= compiled_programs.environment(Path(environment[_CACHE]).parent)
        return Group(command, environment, scratch=self._scratch, current=order.current or None)

    def report(self, seconds: float, acknowledged: int, after: None = None) -> Report:
        """Returns the state of the job after some time, or as soon as the command has ended.

        Args:
          seconds: the longest time to wait.
          acknowledged: the number of the last report that has arrived, 0 for none.
          after: the result of a call that must be over before this one begins.
        """
        del after
        assert self._group is not None
        deadline = time.monotonic() + seconds
        while self._group.poll() is None and time.monotonic() < deadline:
            self._asked = time.monotonic()
            time.sleep(_POLL_SECONDS)
        return self._make_report(acknowledged)

    def ask_to_end(self) -> None:
        """Asks the command to end itself in good order."""
        if self._group is not None:
            self._group.ask_to_end()

    def end(self, seconds: float, acknowledged: int) -> Report:
        """Waits for the command to end, kills what is left of it and returns the last changes.

        Args:
          seconds: the longest time to wait before processes are killed.
          acknowledged: see `report`.
        """
        assert self._group is not None
        self._group.stop(seconds)
        report = self._make_report(acknowledged)
        self._group.end(0.0)
        return report

    def _make_report(self, acknowledged: int) -> Report:
        assert self._group is not None
        with self._lock:
            code, line = self._group.poll(), self._group.last_line()
            changes = Changes(0, {}, [])
            if self._outgoing is not None:
                changes = self._outgoing.look(acknowledged, is_last=code is not None)
            back = [(new, old) for old, new in self._pairs]
            files = {path: _rename(path, data, back) for path, data in changes.files.items()}
            return Report(
                changes.number, code, paths.replace(line, back), bundles.pack(files), changes.removed
            )

    def _end_if_alone(self, group: Group) -> None:
        while group.poll() is None:
            if time.monotonic() - self._asked > _ALONE_SECONDS:
                group.end(0.0)
                os._exit(1)
            time.sleep(1.0)


def _rename(path: str, data: bytes, pairs: list[tuple[str, str]]) -> bytes:
    """Returns the content of a file in which the paths of this machine are those of the other one."""
    if "/" in path or not path.endswith((".json", ".log")):
        return data
    try:
        return paths.replace(data.decode(), pairs).encode()
    except UnicodeDecodeError:
        return data
