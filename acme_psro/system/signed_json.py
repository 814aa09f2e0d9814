"""JSON objects with a digest of their own content, by which a reader sees that they are whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_DIGEST = "sha256"


def sign(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object with a digest of its content as a further entry, `sha256`."""
    return {**data, _DIGEST: _digest(data)}


def read_signed(text: bytes | str) -> dict[str, Any] | None:
    """Returns the object in a signed JSON text without its digest, or None if it was truncated or altered."""
    try:
        data: dict[str, Any] = json.loads(text)
        is_whole = data.pop(_DIGEST) == _digest(data)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return data if is_whole else None


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
