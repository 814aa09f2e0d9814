"""Atomic writing: a file is written completely or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Replaces the content of the file at `path`. A reader sees the old content or the new one, never a part.

    Args:
      path: the file to write. Its directory must exist.
      data: the complete content. Text is encoded as UTF-8, and newlines are kept as they are.

    Raises:
      OSError: the file cannot be written, and the error names it. The old file, if there was one, is
        unchanged.
    """
    path = pathlib.Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    # The temporary file lies in the same directory, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            # Without this, a power failure after the rename could leave an empty file under the final name.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # The system's errors name the temporary file, or no file at all.
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
