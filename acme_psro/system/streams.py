"""Standard error of the whole process, including what libraries print from C++."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Suppresses what libraries print on standard error; Python's own `sys.stderr` keeps working.

    C++ prints to the file descriptor itself, so redirecting `sys.stderr` alone would not suppress it.
    """
    try:
        kept = os.dup(2)
    # Standard error is closed, so there is nothing to suppress.
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with _python_stderr(kept):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _python_stderr(descriptor: int) -> Iterator[None]:
    """Directs `sys.stderr` to a descriptor if it writes to descriptor 2, as it usually does."""
    try:
        writes_to_2 = sys.stderr.fileno() == 2
    # Closed, or replaced by a stream without a descriptor.
    except (AttributeError, OSError, ValueError):
        writes_to_2 = False
    if not writes_to_2:
        yield
        return
    encoding = sys.stderr.encoding
    with (
        open(descriptor, "w", encoding=encoding, errors="backslashreplace", closefd=False) as stream,
        contextlib.redirect_stderr(stream),
    ):
        yield
