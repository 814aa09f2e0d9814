"""User settings that override the defaults of a frozen dataclass."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import Any, TypeVar

Config = TypeVar("Config")

# Names of types in error messages, for users who write settings as JSON or on the command line.
_TYPE_NAMES = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a list of whole numbers",
}


def replace(what: str, defaults: Config, changes: dict[str, Any]) -> Config:
    """Returns the frozen dataclass with the changes applied.

    Args:
      what: the owner of the settings, as error messages name it.
      defaults: an instance of the dataclass. Its values determine the accepted types.
      changes: new values by name. Integers are accepted for floats, lists for tuples, "inf" for infinity.

    Raises:
      ValueError: a setting is unknown, or its value has the wrong type.
    """
    known = [field.name for field in dataclasses.fields(defaults)]  # type: ignore[arg-type]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise ValueError(f"{what} has no setting {unknown[0]!r}; it has {', '.join(known)}.")
    checked = {name: _checked(what, name, value, getattr(defaults, name)) for name, value in changes.items()}
    return dataclasses.replace(defaults, **checked)  # type: ignore[type-var]


def _checked(what: str, name: str, value: Any, default: Any) -> Any:
    """Returns the value, converted to the type of its default.

    Raises:
      ValueError: the value has another type.
    """
    # `type(..) is`, because True is an instance of int and would pass for the number 1.
    if isinstance(default, float) and type(value) in (int, float, str):
        if value == "inf" or not isinstance(value, str):
            return float(value)
    elif isinstance(default, tuple) and isinstance(value, list | tuple):
        if all(type(each) is int for each in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise ValueError(
        f"{what}'s {name} must be {_TYPE_NAMES[type(default)]}, such as {default!r}, not {value!r}."
    )


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
