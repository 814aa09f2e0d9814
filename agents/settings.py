"""User settings that override the defaults of a frozen dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

Config = TypeVar("Config")

# Names of types in error messages, for users who write settings as JSON or on the command line.
_TYPE_NAMES = {bool: "true or false", float: "a number", int: "a whole number", str: "text"}
_PLURALS = {bool: "true or false", float: "numbers", int: "whole numbers", str: "texts"}


def replace(what: str, defaults: Config, changes: dict[str, Any]) -> Config:
    """Returns the frozen dataclass with the changes applied.

    Args:
      what: the owner of the settings, as error messages name it.
      defaults: an instance of the dataclass. Its values determine the accepted types.
      changes: new values by name. Integers are accepted for floats, lists for tuples, "inf" for infinity.

    Raises:
      ValueError: a setting is unknown (the message proposes similar names), or its value has the wrong type.
    """
    known = [field.name for field in dataclasses.fields(defaults)]  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}."
            raise ValueError(f"{what} has no setting {name!r}; {hint}")
    checked = {name: _checked(what, name, value, getattr(defaults, name)) for name, value in changes.items()}
    return dataclasses.replace(defaults, **checked)  # type: ignore[type-var]


def _checked(what: str, name: str, value: Any, default: Any) -> Any:
    """Returns the value, converted to the type of its default.

    Raises:
      ValueError: the value has another type.
    """
    # A default of None says nothing about the values that replace it.
    if default is None:
        return value
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        kind = type(default[0]) if default else int
        if all(_fits(each, kind) for each in value):
            return tuple(kind(each) for each in value)
    elif _fits(value, type(default)):
        return float(value) if isinstance(default, float) else value
    raise ValueError(
        f"{what}'s {name} must be {_describe_type(default)}, such as {default!r}, not {value!r}."
    )


def _fits(value: Any, kind: type) -> bool:
    """Returns True if a value may be given for a setting of a type."""
    # `type(..) is`, because True is an instance of int and would pass for the number 1.
    if kind is float:
        return type(value) in (int, float) or value == "inf"
    return type(value) is kind


def _describe_type(default: Any) -> str:
    """Returns what values a setting takes, for a message."""
    if isinstance(default, tuple):
        kind = type(default[0]) if default else int
        return f"a list of {_PLURALS.get(kind, f'{kind.__name__} values')}"
    return _TYPE_NAMES.get(type(default), f"of type {type(default).__name__}")


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Checks that a name is known.

    Args:
      what: the kind of thing that is named, for the error message.
      name: the name that the user gave.
      known: all valid names.

    Raises:
      ValueError: the name is unknown; the message lists the valid names.
    """
    if name not in known:
        raise ValueError(f"no {what} named {name!r}; use one of {', '.join(known)}.")


def check_names(groups: Mapping[str, Mapping[str, Any]], owners: Mapping[str, Any]) -> None:
    """Checks that settings in groups exist, before `replace` checks their values group by group.

    Args:
      groups: values by name, for each group.
      owners: for each group, an instance of the dataclass whose fields are its settings.

    Raises:
      ValueError: there is no such setting. The message proposes similar names in all groups.
    """
    known = [
        f"{group}.{field.name}" for group, owner in owners.items() for field in dataclasses.fields(owner)
    ]
    for group, settings in groups.items():
        for name in settings:
            if f"{group}.{name}" not in known:
                raise ValueError(f"there is no setting {name!r} in {group}: {_hint(group, name, known)}")


def _hint(group: str, name: str, known: list[str]) -> str:
    """Returns names that are similar to an unknown one, or all names of its group, for a message."""
    # The same name in another group, or else similar names in any group.
    same = [each for each in known if each.partition(".")[2] == name]
    names = difflib.get_close_matches(name, [each.partition(".")[2] for each in known], n=3)
    near = same or [each for each in known if each.partition(".")[2] in names]
    if near:
        return f"did you mean {' or '.join(near[:4])}?"
    of_group = [each.partition(".")[2] for each in known if each.startswith(f"{group}.")]
    return f"{group} has {', '.join(of_group)}."


def check_at_least_zero(flag: str, value: float) -> None:
    """Checks that a flag's value is a finite number and not negative.

    Raises:
      ValueError: it is not; the message names the flag.
    """
    if math.isnan(value):
        raise ValueError(f"--{flag} must be a number, not {value}.")
    if math.isinf(value):
        raise ValueError(f"--{flag} must be finite, not {value}.")
    if value < 0:
        raise ValueError(f"--{flag} must not be negative, not {value}.")
