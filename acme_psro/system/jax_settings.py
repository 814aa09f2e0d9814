"""Environment variables of JAX that a process inherits from the user's shell.

Learning relies on JAX's default numbers: single precision, promotion of types, random keys of two words. A
shell that asks for others, for another program's sake, must not change results or stop a run. JAX is not
imported here: it reads the variables when it is imported, and claims every accelerator that it sees.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys

# Variables that change numbers, types or the shapes of random keys.
_REMOVED = (
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_DTYPE_BITS",
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_ENABLE_CUSTOM_PRNG",
    "JAX_NUMPY_DTYPE_PROMOTION",
    "JAX_NUMPY_RANK_PROMOTION",
    "JAX_RANDOM_SEED_OFFSET",
    "JAX_THREEFRY_PARTITIONABLE",
)
# Variables that choose platforms, or that XLA ends the process for if it does not know their content.
_CHOOSING = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "XLA_FLAGS")
_START = "import jax; jax.devices()"


def use_defaults() -> None:
    """Removes variables that change JAX's numbers from this process's environment.

    Child processes inherit the environment. In this process it must be called before JAX is imported.
    """
    for name in _REMOVED:
        os.environ.pop(name, None)


def check_platforms() -> None:
    """Checks that JAX starts with the platforms that the environment asks for.

    JAX is tried in a process of its own, once for each choice, and only if the environment asks for anything
    but the CPU.

    Raises:
      ValueError: it does not; the message names the variables and JAX's reason.
    """
    chosen = {name: os.environ[name] for name in _CHOOSING if os.environ.get(name)}
    if chosen and chosen != {"JAX_PLATFORMS": "cpu"}:
        _try_platforms(tuple(chosen.items()))


# What was found to start is not tried again for the next run of a process. Failures are not kept.
@functools.lru_cache
def _try_platforms(chosen: tuple[tuple[str, str], ...]) -> None:
    """Starts JAX in another process with this one's environment; raises a ValueError if that fails."""
    tried = subprocess.run(
        [sys.executable, "-c", _START],
        # Trying must not allocate the memory of a device that another process uses.
        env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if tried.returncode != 0:
        asked = " ".join(f"{name}={value}" for name, value in chosen)
        reason = _reason(tried.stderr)
        raise ValueError(f"JAX does not start with {asked}: {reason}; change it or leave it out.")


def _reason(printed: str) -> str:
    """Returns the reason in what JAX or XLA printed before it ended."""
    for line in printed.splitlines():
        # The last line of a Python traceback, and a fatal error of XLA's older and newer releases.
        found = re.match(r"\w*Error: (.+)", line) or re.match(r"(?:.* F |F\d+ ).*\] (.+)", line)
        if found:
            return found[1].split(" (set JAX_PLATFORMS")[0].strip().rstrip(".")
    return "there is no such platform on this machine"
