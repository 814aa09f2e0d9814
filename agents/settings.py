"""Settings by name, as users give them, over a frozen dataclass of defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, TypeVar

Config = TypeVar("Config")

_KINDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a list of whole numbers",
}


def replace(what: str, defaults: Config, changes: dict[str, Any]) -> Config:
    """The frozen dataclass with changes.

    Args:
      what: has the settings, for messages.
      defaults: an instance; its values say which types are taken.
      changes: by name. Whole numbers do as fractions, lists as tuples, `inf` as infinity.

    Raises:
      ValueError: a setting that it does not have, or a value that it does not take.
    """
    known = [field.name for field in dataclasses.fields(defaults)]  # type: ignore[arg-type]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise ValueError(f"{what} has no setting {unknown[0]!r}; it has {', '.join(known)}.")
    checked = {name: _checked(what, name, value, getattr(defaults, name)) for name, value in changes.items()}
    return dataclasses.replace(defaults, **checked)  # type: ignore[type-var]


def _checked(what: str, name: str, value: Any, default: Any) -> Any:
    """The value as its default has it.

    Raises:
      ValueError: a value of another type.
    """
    if isinstance(default, float) and type(value) in (int, float, str):
        if value == "inf" or not isinstance(value, str):
            return float(value)
    elif isinstance(default, tuple) and isinstance(value, list | tuple):
        if all(type(each) is int for each in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise ValueError(f"{what}'s {name} must be {_KINDS[type(default)]}, such as {default!r}, not {value!r}.")


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Checks that there is something of this name.

    Args:
      what: is named.
      name: as the user gave it.
      known: the names that there are.

    Raises:
      ValueError: there is not; the message lists the names.
    """
    if name not in known:
        raise ValueError(f"no {what} named {name!r}; use one of {', '.join(known)}.")
