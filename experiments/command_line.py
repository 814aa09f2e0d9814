"""How launchers meet their users: bad input is one line and exit code 2, never a traceback."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags

BAD_INPUT = 2


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """Ends the program with one line and exit code 2 on a ValueError inside."""
    try:
        yield
    except ValueError as error:
        refuse(str(error))


def refuse(reason: str) -> None:
    """Ends the program with one line and exit code 2."""
    print(f"error: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def run(main: Callable[[], None]) -> None:
    """Parses absl flags and calls `main`."""

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            refuse(f"{error} (--help lists the flags)")
        if len(rest) > 1:
            refuse(f"unexpected argument {rest[1]!r} (--help lists the flags)")
        return rest

    # JAX announces every accelerator that it looks for in vain.
    logging.getLogger("jax").setLevel(logging.WARNING)
    app.run(lambda argv: main(), flags_parser=parse)
