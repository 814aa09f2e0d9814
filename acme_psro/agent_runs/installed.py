"""Checks that the packages needed by a run of one agent are installed."""

from __future__ import annotations

import importlib.util
import platform

from acme_psro.system.executors import cluster

_NEEDED = ("acme", "launchpad", "reverb")


def check_acme_layer(user: str = "run_agent") -> None:
    """Checks that Acme, Launchpad and Reverb are installed, without importing them.

    Importing them would take seconds, and would fail with an error that users cannot act on.

    Args:
      user: the command or flag that needs them, for the message.

    Raises:
      ValueError: a package is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{user} needs {', '.join(missing)}, which Python {platform.python_version()} does not have: "
            "install the extra acme (pip install 'acme-psro[acme]'), with Python 3.10 on Linux (x86-64)."
        )


def check_programs(program: str) -> None:
    """Checks that the packages needed by programs of population runs are installed, without importing them.

    Args:
      program: a name of `acme_psro.system.executors.placing.PROGRAMS`.

    Raises:
      ValueError: a package is missing.
    """
    if program == "launchpad":
        check_acme_layer("--oracle=launchpad")
    else:
        cluster.check_installed("--program=ray")
