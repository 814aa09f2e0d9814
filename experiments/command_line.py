"""Flag parsing and error reporting of the launchers.

Bad input ends a launcher with one line on standard error and exit code 2, never with a traceback.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags

BAD_INPUT = 2


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """Context manager that reports a ValueError in one line and exits with code 2."""
    try:
        yield
    except ValueError as error:
        refuse(str(error))


def refuse(reason: str) -> None:
    """Prints `reason` as one line on standard error and exits with code 2."""
    print(f"error: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def run(main: Callable[[], None]) -> None:
    """Parses absl flags and calls `main`. Invalid flags end the program with exit code 2."""

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            refuse(f"{error} (--help lists the flags)")
        if len(rest) > 1:
            refuse(f"unexpected argument {rest[1]!r} (--help lists the flags)")
        return rest

    # JAX logs a message for every kind of accelerator that it does not find.
    logging.getLogger("jax").setLevel(logging.WARNING)
    app.run(lambda argv: main(), flags_parser=parse)
