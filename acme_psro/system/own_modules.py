"""Import of modules of a user's own, which register games, solvers, agents or environments.

The modules are imported in this process and, by an environment variable, in all processes that it starts:
the trial of games, programs and simulation. They import them together with `acme_psro`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

# JSON: the names of the modules, and the directory in which they may lie.
VARIABLE = "ACME_PSRO_IMPORT_MODULES"


def import_everywhere(names: Sequence[str]) -> None:
    """Imports modules in this process, and in all that it starts from now on.

    Modules are looked for as Python does, and last in the current directory.

    Args:
      names: names of modules, such as `my_games` or `my_package.games`.

    Raises:
      ValueError: there is no such module, or it raises an error. The message is one line.
    """
    if not names:
        return
    directory = os.getcwd()
    _look_in(directory)
    for name in names:
        _import(name, directory)
    os.environ[VARIABLE] = json.dumps({"modules": list(names), "directory": directory})


def import_inherited() -> None:
    """Imports the modules that the process which started this one has imported by `import_everywhere`.

    Raises:
      ValueError: a module is not found any more, or it raises an error here.
    """
    if VARIABLE not in os.environ:
        return
    inherited = json.loads(os.environ[VARIABLE])
    _look_in(inherited["directory"])
    for name in inherited["modules"]:
        _import(name, inherited["directory"])


def _look_in(directory: str) -> None:
    """Makes Python look for modules in a directory too, after all other places."""
    # An installed command does not look in the current directory, and `python -m` does.
    if directory not in sys.path:
        sys.path.append(directory)


def _import(name: str, directory: str) -> None:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name) or name.endswith(".py"):
        stem = Path(name).name.removesuffix(".py")
        example = stem if stem.isidentifier() else "my_games"
        raise ValueError(f"--import_module takes the name of a module, such as {example}, not {name!r}.")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that is found may itself import one that is not.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(_describe(name, error)) from error
        raise ValueError(
            f"--import_module={name}: no module {error.name} is installed, and none is in {directory}."
        ) from None
    except (Exception, SystemExit) as error:
        raise ValueError(_describe(name, error)) from error


def _describe(name: str, error: BaseException) -> str:
    """Returns one line on an error that a module raised, with the line of its source."""
    # Frames of the import system itself say nothing about the module.
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "importlib" not in each.filename]
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        place = f"{frames[-1].filename}, line {frames[-1].lineno}"
    reason = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"--import_module={name} fails: {type(error).__name__}: {reason} ({place})."
