"""Check that the packages which a run of one agent needs are installed."""

from __future__ import annotations

import importlib.util
import platform

_NEEDED = ("acme", "launchpad", "reverb")


def check_acme_layer() -> None:
    """Checks that the Acme layer is there, without importing it.

    Raises:
      ValueError: it is not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"run_agent needs {', '.join(missing)}, which Python {platform.python_version()} does not have: "
            "Acme, Reverb and Launchpad need Python 3.10 on Linux (x86-64)."
        )
