"""Standard streams that never end a program: text that cannot be written is lost, and nothing else.

A reader that goes away (`| head`), a full disk behind a redirection, a stream that was closed by the shell
(`2>&-`) and an encoding without the printed characters must not cost hours of training.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

_DESCRIPTORS = {"stdin": 0, "stdout": 1, "stderr": 2}


class _LossyFile(io.FileIO):
    """A file whose writes never fail.

    Attributes:
      failure: the first error, or None if nothing was lost.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = self.failure or error
            return memoryview(data).nbytes


def install() -> None:
    """Makes `sys.stdout` and `sys.stderr` tolerant, unless other code has replaced them.

    Closed descriptors are opened on the null device first. Otherwise the next file that is opened would get
    the number of a standard stream, and libraries would print into it.
    """
    for descriptor in _DESCRIPTORS.values():
        try:
            os.fstat(descriptor)
        except OSError:
            # The system assigns the lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _make_tolerant(_DESCRIPTORS[name], stream))


def find_failure(stream: TextIO) -> OSError | None:
    """Returns the first error by which a stream lost text, or None if there was none or it is not known."""
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _LossyFile) else None


def _make_tolerant(descriptor: int, stream: Any) -> TextIO:
    """Returns a text stream to a descriptor, with the settings of an existing one.

    Args:
      descriptor: number of the standard stream.
      stream: Python's own stream, or None if it was closed when Python started.
    """
    settings: dict[str, Any] = {"encoding": "utf-8", "line_buffering": True}
    if stream is not None:
        stream.flush()
        settings = {name: getattr(stream, name) for name in ("encoding", "line_buffering", "write_through")}
    file = io.BufferedWriter(_LossyFile(descriptor, "w", closefd=False))
    return io.TextIOWrapper(file, errors="backslashreplace", **settings)
