"""A child process and all that it starts, as one thing of which nothing is left at the end.

A child leads a session, and so a process group, of its own, and has a directory of its own for temporary
files (`TMPDIR`). Processes that it starts belong to the group, unless they begin a session themselves.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# For what is left of a group whose leader has ended, to end by itself; and to be gone when killed.
_ORPHAN_SECONDS = 5.0
_KILLED_SECONDS = 10.0
# Its input ends without a last word when the process that started it is gone, by whatever means: then it
# ends the group instead. A shell, because it costs next to nothing.
_KEEPER = """
read -r group
read -r word && exit
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  kill -s KILL -- "-$group" || break
  sleep 0.1
done
rm -rf -- "$1"
"""


class Group:
    """A command that runs in a process group of its own.

    Should this process be killed, a shell that waits for that ends the group and removes its directory.

    Args:
      command: what to run.
      environment: variables, over those of this process.

    Raises:
      OSError: there is no such program.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._scratch = tempfile.mkdtemp(prefix="acme_psro_")
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "acme_psro_keeper", self._scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._printed = Path(self._scratch) / "printed"
        try:
            self._child = self._start(command, dict(environment))
        except BaseException:
            self._tell_keeper("none")
            self._clean_up()
            raise
        self._tell_keeper(str(self._child.pid))

    def _start(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen:
        with open(self._printed, "wb") as printed:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env=os.environ | environment | {"TMPDIR": self._scratch},
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit code of the child, negative for the signal that killed it; None while it runs."""
        return self._child.poll()

    def last_line(self) -> str:
        """The last line that the child printed, if any; until `end`."""
        lines = self._printed.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def ask_to_end(self) -> None:
        """Lets the child end, with all that it started, as it sees fit."""
        if self._child.poll() is None:
            self._child.terminate()

    def end(self, seconds: float) -> None:
        """Waits that long for the child to end, then leaves neither it nor the group a choice.

        Where this is interrupted, it can be called again.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        if self._child.poll() is not None:
            self._send(signal.SIGTERM)
            self._wait_until_gone(_ORPHAN_SECONDS)
        self._send(signal.SIGKILL)
        self._child.wait()
        self._wait_until_gone(_KILLED_SECONDS)
        self._clean_up()

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _wait_until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while is_alive(self._child.pid) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _clean_up(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._tell_keeper("done")
        self._keeper.communicate()

    def _tell_keeper(self, word: str) -> None:
        line = f"{word}\n".encode()
        # Somebody may have killed it, or it has had its last word.
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.write(line)
                self._keeper.stdin.flush()


def end_all(groups: Sequence[Group], seconds: float) -> None:
    """Asks all groups to end, waits that long for them together, and ends what is left."""
    deadline = time.monotonic() + seconds
    for group in groups:
        group.ask_to_end()
    for group in groups:
        group.end(max(0.0, deadline - time.monotonic()))


def is_alive(group: int) -> bool:
    """Whether any process of a group runs still; one that has ended and only waits to be noticed does not."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    states = list(_states(group))
    # Where the system does not list processes, the signal's answer has to do.
    return not states or any(state not in "ZX" for state in states)


def _states(group: int) -> Iterator[str]:
    """The state of each process of a group, one letter, as Linux lists them."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        # They may end meanwhile.
        with contextlib.suppress(OSError):
            # A name in parentheses, which may hold anything, comes before: state, parent, group.
            state, _, found = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(found) == group:
                yield state


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Makes a request to end (SIGTERM) what Ctrl-C is, in the main thread; nobody else may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
