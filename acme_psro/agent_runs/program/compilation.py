"""Cache of XLA's compiled code on disk, for the next launch of a similar program.

A learner's start is compiling, for the most part. Below the place of compiled games there is a directory for
each kind of machine: what is compiled for one processor need not run on another.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from pathlib import Path

_MOST_BYTES = 512 * 2**20
# What compiles faster is not worth a file.
_LEAST_SECONDS = "0.3"


def environment() -> dict[str, str]:
    """Variables with which JAX keeps what it compiles; none where the user has chosen a place."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return {}
    from acme_psro.games import cache

    directory = cache.directory() / "xla" / _machine()
    # A cache that cannot be written is no error: JAX goes on without.
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        prune(directory, _MOST_BYTES)
    return {
        "JAX_COMPILATION_CACHE_DIR": str(directory),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": _LEAST_SECONDS,
    }


def prune(directory: Path, most_bytes: int) -> None:
    """Removes the oldest files until the others have no more bytes than that.

    Raises:
      OSError: one cannot be removed.
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
    """Tells apart processors that have other instructions."""
    about = [platform.machine(), platform.system()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about += sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]
