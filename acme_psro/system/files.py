"""Writes files whole or not at all."""

from __future__ import annotations

import os
import pathlib
import uuid


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Replaces the file at `path` by `data`; a reader sees the old file or the new one.

    Args:
      path: where to write; its directory must exist.
      data: the whole content; text is encoded as UTF-8 and newlines are kept.

    Raises:
      OSError: the file cannot be written; the old file, if any, is still there.
    """
    path = pathlib.Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    # Same directory, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
