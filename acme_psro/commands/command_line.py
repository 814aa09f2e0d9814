"""Flag parsing and error reporting of the launchers, which import this module before all others.

Bad input, files that cannot be written and Ctrl-C end a launcher with one line on standard error, never with
a traceback. Importing this module prepares the process: standard streams become tolerant, JAX's numbers do
not depend on the environment, and a Ctrl-C is one line even while the launcher is still importing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType

from absl import app, flags

from acme_psro.system import jax_settings, tolerant_output

BAD_INPUT = 2
STOPPED = 1

# Bytes in the name of a default directory; file systems allow 255.
_LONGEST_NAME = 200
# Errors of a file system that has no room, or that fails: the run itself is sound and can be resumed.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
# Files by which the directories of runs and of sweeps are recognised.
_MARKS = ("config.json", "sweep.json")
_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}


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


def run(main: Callable[[], None], directory: Callable[[], Path] | None = None) -> None:
    """Parses absl flags and calls `main`. Invalid flags end the program with exit code 2.

    Args:
      main: the launcher's own work.
      directory: returns the directory of the run that the flags describe, if the launcher has one. If the
        launcher is stopped and the directory holds a run, the user is told that it can be resumed.
    """
    _present_as_main(sys.modules[main.__module__])

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            refuse(f"{_explain(error)} (--help lists the flags)")
        if len(rest) > 1:
            refuse(f"unexpected argument {rest[1]!r} (--help lists the flags)")
        return rest

    def guarded_main(argv: list[str]) -> None:
        _silence_libraries()
        with _one_line(directory):
            main()

    with _one_line(None):
        app.run(guarded_main, flags_parser=parse)


def _present_as_main(launcher: ModuleType) -> None:
    """Makes `--help` show a launcher's docstring and flags, whatever module the program was started with."""
    if launcher.__name__ == "__main__":
        return
    sys.modules["__main__"].__doc__ = launcher.__doc__
    for flag in flags.FLAGS.get_key_flags_for_module(launcher.__name__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def path_of(flag: str, text: str) -> Path:
    """Returns the path that a flag names, with `~` expanded, which the shell does not do after a `=`.

    Raises:
      ValueError: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"--{flag}={text}: there is no such user, so it has no home directory.") from None


def was_given(flag: str) -> bool:
    """Returns True if the user gave a flag, with whatever value; settings without a flag are never given."""
    return flag in flags.FLAGS and bool(flags.FLAGS[flag].present)


def check_used(needs: Mapping[str, str]) -> None:
    """Checks that no flag was given which has no effect.

    Args:
      needs: for each flag that has no effect, the option that would give it one.

    Raises:
      ValueError: one of the flags was given; the message names the option that it needs.
    """
    for name, option in needs.items():
        if was_given(name):
            raise ValueError(f"--{name} needs {option}, and has no effect otherwise: leave it out.")


def output_directory(given: str | None, name: str) -> Path:
    """Returns the directory that `--output_dir` names, or by default one in `runs`.

    Args:
      given: the flag's value.
      name: the default directory's name.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    return path_of("output_dir", given) if given else Path("runs", shorten(name))


def file_name_of(game: str) -> str:
    """Returns a game string as a part of a file name, `_` in place of special characters."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in game.strip())


def shorten(name: str) -> str:
    """Returns a directory's name, cut to a length that every file system allows."""
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: _LONGEST_NAME - 13].decode(errors='ignore')}-{digest}"


@contextlib.contextmanager
def _one_line(directory: Callable[[], Path] | None) -> Iterator[None]:
    """Context manager that reports Ctrl-C and errors of the operating system in one line and exits."""
    try:
        yield
    except KeyboardInterrupt:
        hint = "; --resume continues the run." if _holds_run(directory) else "."
        print(f"stopped{hint}", file=sys.stderr)
        sys.exit(STOPPED)
    except OSError as error:
        hint = "; --resume continues the run." if error.errno in _NO_ROOM and _holds_run(directory) else "."
        refuse(f"{describe_os_error(error, directory and directory())}{hint}")


def _holds_run(directory: Callable[[], Path] | None) -> bool:
    if directory is None:
        return False
    with contextlib.suppress(OSError, ValueError):
        return any((directory() / name).exists() for name in _MARKS)
    return False


def describe_os_error(error: OSError, directory: Path | None = None) -> str:
    """Returns what could not be done with which file, as a phrase without a full stop.

    Args:
      error: an error of the operating system.
      directory: the directory in which files are written, for errors that do not name their file.
    """
    if error.errno == errno.ENOENT and not _has_current_directory():
        return "the current directory does not exist any more: change to another directory"
    if error.errno is None:
        return f"{type(error).__name__}: {error}"
    reason = error.strerror or os.strerror(error.errno)
    path = error.filename if error.filename is not None else directory
    if error.errno in _NO_ROOM:
        return f"cannot write {'a file' if path is None else _shown(path)}: {reason}"
    if path is None:
        return reason
    return f"cannot open {_shown(path)}: {reason}"


def _shown(path: object) -> str:
    """Returns a path for an error message; the middle of a very long one is left out."""
    text = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    return text if len(text) <= 300 else f"{text[:150]}[..]{text[-100:]}"


def _has_current_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _explain(error: flags.Error) -> str:
    """Returns absl's message on a flag, in plain words if the flag's value has the wrong type."""
    found = re.match(r"flag --(\w+)=(.*?): ", str(error), re.DOTALL)
    if isinstance(error, flags.IllegalFlagValueError) and found and found[1] in flags.FLAGS:
        kind = _KINDS.get(flags.FLAGS[found[1]].flag_type())
        if kind is not None:
            return f"--{found[1]} must be {kind}, not {found[2]!r}"
    return str(error)


def _silence_libraries() -> None:
    """Keeps the log lines of libraries off the screen, whatever `--verbosity` says, except warnings."""
    # JAX logs a message for every kind of accelerator that it does not find.
    for name in ("", "absl", "jax"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Matplotlib warns of a cache that it cannot write, which does not concern the run.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _shorten_interrupts() -> None:
    """Makes a Ctrl-C that nothing catches end the process with one line."""
    report = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            report(kind, error, trace)
            return
        print("stopped.", file=sys.stderr, flush=True)
        os._exit(STOPPED)

    sys.excepthook = hook


tolerant_output.install()
jax_settings.use_defaults()
_shorten_interrupts()
