"""XLA's compiled programs on disk, for the next start of a similar run.

Most of a learner's start-up time is compilation. A cache has a subdirectory for each type of machine, because
code that is compiled for one processor may not run on another.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from pathlib import Path

_DIRECTORY = "JAX_COMPILATION_CACHE_DIR"
_MAX_BYTES = 512 * 2**20
# Functions that compile faster than this are not stored: reading a file would save hardly any time.
_MIN_COMPILE_SECONDS = 0.3


def environment(cache: Path) -> dict[str, str]:
    """Returns environment variables that make JAX in another process store compiled programs.

    The dictionary is empty if the user has already chosen a directory with `JAX_COMPILATION_CACHE_DIR`.

    Args:
      cache: directory for the programs of all machines. It need not exist. One that cannot be written is no
        error, because JAX works without it.
    """
    if _DIRECTORY in os.environ:
        return {}
    directory = _prepare(cache)
    return {
        _DIRECTORY: str(directory),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": str(_MIN_COMPILE_SECONDS),
    }


def keep_here(cache: Path) -> bool:
    """Makes JAX in this process store compiled programs, and read those that are stored.

    Nothing changes if a directory has been chosen before, by the user or by the program that calls this one,
    or if the cache cannot be written.

    Args:
      cache: directory for the programs of all machines. It need not exist.

    Returns:
      True if JAX uses the cache from now on.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    # JAX's types do not tell its options.
    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return False
    directory = _prepare(cache)
    if not os.access(directory, os.W_OK | os.X_OK):
        return False
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_SECONDS)
    # JAX looks for a cache at its first compilation only, which may lie behind us.
    compilation_cache.reset_cache()
    return True


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


def _prepare(cache: Path) -> Path:
    """Returns this machine's directory, made and pruned if that is possible."""
    directory = cache / _machine()
    # A cache that cannot be written is not an error, because JAX works without it.
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        prune(directory, _MAX_BYTES)
    return directory


def _machine() -> str:
    """Returns an identifier that differs between processors with different instruction sets."""
    about = [platform.machine(), platform.system()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about += sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]
