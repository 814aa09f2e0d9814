"""Cache of XLA's compiled code on disk, for the next launch of a similar program.

Most of a learner's start-up time is compilation. The directory of compiled games has a subdirectory for each
type of machine, because code that is compiled for one processor may not run on another.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from pathlib import Path

_MAX_BYTES = 512 * 2**20
# Functions that compile faster than this are not stored: reading a file would save hardly any time.
_MIN_COMPILE_SECONDS = "0.3"


def environment() -> dict[str, str]:
    """Returns environment variables that make JAX store compiled code in the cache of this machine.

    The dictionary is empty if the user has already chosen a directory with `JAX_COMPILATION_CACHE_DIR`.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return {}
    from acme_psro.games import cache

    directory = cache.directory() / "xla" / _machine()
    # A cache that cannot be written is not an error, because JAX works without it.
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        prune(directory, _MAX_BYTES)
    return {
        "JAX_COMPILATION_CACHE_DIR": str(directory),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": _MIN_COMPILE_SECONDS,
    }


def prune(directory: Path, most_bytes: int) -> None:
    """Removes the oldest files until the size of the others is within the limit.

    Args:
      directory: directory of the cache.
      most_bytes: largest total size of the files that stay.

    Raises:
      OSError: a file cannot be removed.
    """
    found = sorted(
        ((path.stat(), path) for path in directory.iterdir()), key=lambda pair: pair[0].st_mtime, reverse=True
    )
    total = 0
    for about, path in found:
        total += about.st_size
        if total > most_bytes:
            path.unlink(missing_ok=True)


def _machine() -> str:
    """Returns an identifier that differs between processors with different instruction sets."""
    about = [platform.machine(), platform.system()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about += sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]
