"""Nested mappings, such as configurations, as flat ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values that are no mappings in one dictionary, nested names joined by dots.

    Args:
      values: the values by name, which may be mappings themselves.
      prefix: text that all names begin with.
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
