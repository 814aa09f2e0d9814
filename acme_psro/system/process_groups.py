"""Process groups: a child process and all its descendants, which are started and ended together.

The child leads its own session, and so its own process group, and has its own directory for temporary files
(`TMPDIR`). Processes that it starts belong to the same group, unless they begin a session themselves. At the
end, no process of the group and no temporary file is left.
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acme_psro.system.executors.base import Running

# Time that the rest of a group gets to end by itself after its leader has ended.
_ORPHAN_SECONDS = 5.0
# Time to wait until killed processes have disappeared.
_KILLED_SECONDS = 10.0
# A watchdog that ends the group if this process dies, even if this process is killed by SIGKILL and cannot
# clean up itself. It reads the group's number and then a word from its standard input. If the input is closed
# before the word has arrived, the process that started it no longer exists. It is a shell because a shell
# needs little memory and starts quickly.
_WATCHDOG = """
read -r group
read -r word && exit
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  kill -s KILL -- "-$group" || break
  sleep 0.1
done
rm -rf -- "$1"
"""
# Ray ends a worker's children together with the worker, by their parent's number, but not what they have
# started. The watchdog must outlive them, so it is the child of a shell that only waits for it.
_KEEPER = '/bin/sh -c "$1" acme_psro_watchdog "$2" <&3 3<&- & exec <&- 3<&-; wait'


class Group:
    """A command that runs in its own process group.

    If this process is killed, a watchdog (a small shell process) ends the group and removes its directory.

    Args:
      command: the program to run, with its arguments.
      environment: environment variables, in addition to those of this process. They take precedence.
      scratch: the group's directory for temporary files, which is removed at the end; None for a new one.
      current: the current directory of the command; None for that of this process.

    Raises:
      OSError: the program does not exist or cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        scratch: Path | None = None,
        current: str | None = None,
    ) -> None:
        self._scratch = str(scratch or tempfile.mkdtemp(prefix="acme_psro_"))
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", f"exec 3<&0; {_KEEPER}", "acme_psro_keeper", _WATCHDOG, self._scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # A file and not a pipe: a pipe that is not read would block the child as soon as it is full.
        self._printed = Path(self._scratch) / "printed"
        try:
            self._child = self._start(command, dict(environment), current)
        except BaseException:
            self._tell_watchdog("none")
            self._clean_up()
            raise
        self._tell_watchdog(str(self._child.pid))

    def _start(
        self, command: Sequence[str], environment: dict[str, str], current: str | None
    ) -> subprocess.Popen:
        with open(self._printed, "wb") as printed:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env=os.environ | environment | {"TMPDIR": self._scratch},
                cwd=current,
                start_new_session=True,
            )

    def has_begun(self) -> bool:
        """Returns True: the command runs at once."""
        return True

    def poll(self) -> int | None:
        """Returns the child's exit code, or None while it runs. After a kill by signal n, the code is -n."""
        return self._child.poll()

    def last_line(self) -> str:
        """Returns the last non-empty line that the child printed, or "". Must be called before `end`."""
        lines = self._printed.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def ask_to_end(self) -> None:
        """Sends SIGTERM to the child, so that it can end itself and its own children in good order."""
        if self._child.poll() is None:
            self._child.terminate()

    def end(self, seconds: float) -> None:
        """Does what `stop` does, and removes the temporary files.

        If this call is interrupted, it can be repeated.

        Args:
          seconds: the longest time to wait before the group is killed.
        """
        self.stop(seconds)
        self._clean_up()

    def stop(self, seconds: float) -> None:
        """Waits for the child to end, then kills all processes of the group. It can be repeated.

        Args:
          seconds: the longest time to wait before the group is killed.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        if self._child.poll() is not None:
            self._send(signal.SIGTERM)
            self._wait_until_gone(_ORPHAN_SECONDS)
        # Sent in every case: the child may ignore requests to end, or have left processes that ignore them.
        self._send(signal.SIGKILL)
        self._child.wait()
        self._wait_until_gone(_KILLED_SECONDS)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _wait_until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while is_alive(self._child.pid) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _clean_up(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._tell_watchdog("done")
        self._watchdog.communicate()

    def _tell_watchdog(self, word: str) -> None:
        line = f"{word}\n".encode()
        # The pipe is closed after the last word, and it is broken if the watchdog was killed from outside.
        if self._watchdog.stdin is not None and not self._watchdog.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(line)
                self._watchdog.stdin.flush()


def end_all(groups: Sequence[Running], seconds: float) -> None:
    """Asks all groups to end, then kills the groups that are left.

    Args:
      groups: the groups to end.
      seconds: the longest time to wait for all groups together.
    """
    deadline = time.monotonic() + seconds
    for group in groups:
        group.ask_to_end()
    for group in groups:
        group.end(max(0.0, deadline - time.monotonic()))


def is_alive(group: int) -> bool:
    """Returns True if any process of a group still runs.

    Zombies, which have ended but have not been waited for, do not count.

    Args:
      group: the number of the process group.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    states = list(_states(group))
    # Signal 0 also reaches zombies. If the system has no list of processes, its answer must be enough.
    return not states or any(state not in "ZX" for state in states)


def _states(group: int) -> Iterator[str]:
    """Yields the state of each process of a group: one letter, as in Linux's `/proc/PID/stat`."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        # A process may end between the listing and the reading.
        with contextlib.suppress(OSError):
            # The fields after the process's name are: state, parent, group. The name is in parentheses and
            # may contain spaces and parentheses itself, so the text is split at the last one.
            state, _, found = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(found) == group:
                yield state


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turns SIGTERM into a KeyboardInterrupt, as Ctrl-C does, so that the caller cleans up in the same way.

    Only the main thread may set signal handlers. In other threads this context manager does nothing.
    """
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
