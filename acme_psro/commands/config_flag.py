"""The flags of all launchers: `--config`, a file with values, and `--import_module`."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from acme_psro.commands import command_line
from acme_psro.system import own_modules, surroundings

flags.DEFINE_string(
    "config",
    None,
    "JSON file with values of flags and groups of settings, such as a run's config.json, or a run's "
    "directory. Flags on the command line take precedence.",
)
flags.DEFINE_multi_string(
    "import_module",
    [],
    "Module of your own that registers games, solvers, agents or environments. May be given repeatedly.",
)

# Flags that a file cannot give.
_NOT_IN_FILES = ("config", "set", "set_replay")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "string": ((str,), "text"),
    "multi string": ((list,), "a list of texts"),
}
# Settings by which a run's config.json is recognised.
_RUNS = {"environment": "acme-psro agent", "oracle": "acme-psro run"}


class FileValues(NamedTuple):
    """Values of a file that `--config` names.

    Attributes:
      path: the file, or None if there is none.
      names: the flags and groups that have a value in the file.
      replaced: flags whose value on the command line differs from the file's.
      groups: values by name of a setting, for each group; groups that the file lacks are empty.
    """

    path: Path | None
    names: tuple[str, ...]
    replaced: tuple[str, ...]
    groups: dict[str, dict[str, Any]]


def read(launcher: str, groups: Collection[str] = ()) -> FileValues:
    """Reads the file of `--config`, sets the flags that it gives, and imports the modules of the user.

    Args:
      launcher: name of the module that has the launcher's flags.
      groups: names of the groups of settings.

    Raises:
      ValueError: the file holds something else, a name that is unknown or a value of the wrong type; or a
        module cannot be imported.
      OSError: the file cannot be read.
    """
    values = FileValues(None, (), (), {group: {} for group in groups})
    if flags.FLAGS.config is not None:
        path = command_line.path_of("config", flags.FLAGS.config)
        path = path / "config.json" if path.is_dir() else path
        known = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(launcher)]
        values = _apply(path, [name for name in known if name not in _NOT_IN_FILES], values.groups)
    own_modules.import_everywhere(flags.FLAGS.import_module)
    return values


def warn_of_unused(values: FileValues, unused: Collection[str]) -> None:
    """Prints a warning that names what a file gives and this run does not use.

    Args:
      values: the values of the file.
      unused: flags and groups that have no effect on this run.
    """
    names = [name for name in values.names if name in unused]
    if names:
        have = "has" if len(names) == 1 else "have"
        print(f"warning: {values.path}: {', '.join(names)} {have} no effect on this run.", file=sys.stderr)


def _apply(path: Path, known: list[str], groups: dict[str, dict[str, Any]]) -> FileValues:
    """Sets the flags that a file gives, and returns all its values."""
    content = _read_object(path)
    replaced = []
    for name, value in content.items():
        if name in groups:
            if not isinstance(value, dict):
                raise ValueError(f"{path}: {name} must be an object of settings, not {value!r}.")
            groups[name] = value
        elif name in known:
            if _set_flag(path, flags.FLAGS[name], value):
                replaced.append(name)
        else:
            raise ValueError(f"{path}: {_refuse(name, content, [*known, *groups])}")
    return FileValues(path, tuple(content), tuple(replaced), groups)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold one JSON object, with values by name.")
    return {name: value for name, value in content.items() if name != surroundings.KEY}


def _set_flag(path: Path, flag: flags.Flag[Any], value: Any) -> bool:
    """Gives a flag the file's value, unless the command line gives one; returns True if that one differs.

    Raises:
      ValueError: the file's value has the wrong type.
    """
    types, described = _TYPES[flag.flag_type()]
    is_right = type(value) in types and (
        type(value) is not list or all(isinstance(each, str) for each in value)
    )
    # No value, as a run's config.json has for flags that have no default either.
    if value is None and flag.default is None:
        is_right = True
    if not is_right:
        raise ValueError(f"{path}: {flag.name} must be {described}, not {json.dumps(value)}.")
    if flag.present:
        return bool(flag.value != value)
    if value is not None:
        setattr(flags.FLAGS, flag.name, float(value) if flag.flag_type() == "float" else value)
    return False


def _refuse(name: str, content: dict[str, Any], known: list[str]) -> str:
    """Returns the reason why a name is refused, with names that are similar."""
    for mark, command in _RUNS.items():
        if mark in content and mark not in known:
            return f"it is the configuration of a run of `{command}`, which this command does not take."
    near = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}."
    return f"there is no flag or group of settings {name!r}; {hint}"
