"""Surroundings of a run: versions, commit, machine and command, as `config.json` holds them.

They say how a run was made. They are no settings: a run may be resumed in other surroundings, and then has
those of each start.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from acme_psro.system import cores

# Key of `config.json`: a list with the surroundings of each start that differ from those before.
KEY = "made_by"
# The command of the user, for processes that a run starts.
_VARIABLE = "ACME_PSRO_COMMAND"
_ROOT = Path(__file__).resolve().parents[2]
_DISTRIBUTIONS = (
    *("acme-psro", "open_spiel", "numpy", "scipy", "jax", "jaxlib", "dm-haiku", "optax"),
    *("dm-acme", "dm-reverb", "dm-launchpad", "dm_control", "gymnasium", "mujoco", "tensorflow-cpu"),
)


def describe_process() -> dict[str, Any]:
    """Returns the surroundings of this process, in JSON's types. Nothing is imported for it."""
    machine = {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": cores.count(),
        "memory_gib": _memory_gib(),
        "accelerators": _accelerators(),
    }
    return {
        "command": command(),
        "commit": _commit(_ROOT),
        "versions": {"python": platform.python_version(), **_versions(_DISTRIBUTIONS)},
        "machine": machine,
    }


def add_start(config: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with the surroundings of this start, after those of earlier ones.

    Args:
      config: the configuration to write.
      before: the configuration of the same run as it was written before; empty if there is none.
    """
    starts = _starts(before)
    now = describe_process()
    if starts[-1:] != [now]:
        starts.append(now)
    return {**config, KEY: starts}


def command() -> str:
    """Returns the command with which the user started this process, or the process that started it."""
    return os.environ.get(_VARIABLE) or shlex.join(sys.orig_argv)


def environment() -> dict[str, str]:
    """Returns the variables by which a child process knows the user's command."""
    return {_VARIABLE: command()}


def describe_surroundings(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns names and values of a run's surroundings, for a table; empty for runs of older versions.

    Args:
      config: the content of `config.json`. Of several starts the last one is described.
    """
    starts = _starts(config)
    if not starts:
        return []
    last = starts[-1]
    machine = _mapping(last, "machine")
    versions = [f"{name} {version}" for name, version in _mapping(last, "versions").items()]
    accelerators = machine.get("accelerators") or []
    rows = [
        ("command", last.get("command")),
        ("starts in different surroundings", len(starts) if len(starts) > 1 else None),
        ("commit", last.get("commit")),
        ("versions", ", ".join(versions)),
        ("system", machine.get("system")),
        ("processor", machine.get("processor")),
        ("cores", machine.get("cores")),
        ("memory", f"{machine['memory_gib']} GiB" if machine.get("memory_gib") else None),
        ("accelerators", ", ".join(map(str, accelerators)) if isinstance(accelerators, list) else None),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _starts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the surroundings in a configuration, without entries that were altered beyond use."""
    starts = config.get(KEY)
    return [each for each in starts if isinstance(each, dict)] if isinstance(starts, list) else []


def _mapping(start: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = start.get(name)
    return value if isinstance(value, Mapping) else {}


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    """Returns the versions of those distributions that are installed."""
    found = {}
    for name in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed = metadata.distribution(name)
            # Parsing all of the metadata, which hold whole pages of text, takes twenty times as long.
            text = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
            version = re.search(r"^Version: *(\S+)$", text, re.MULTILINE)
            if version:
                found[name] = version[1]
    return found


def _commit(root: Path) -> str | None:
    """Returns the commit of a checkout, with "-dirty" if its files differ from it; None outside of one."""
    if not (root / ".git").exists():
        return None
    # With no tag allowed, the description is the commit itself.
    arguments = ("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    try:
        described = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=5.0,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def _processor() -> str:
    """Returns the name of the processor, as far as the system knows it."""
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    """Returns the memory of the machine in GiB, or None if the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _accelerators() -> list[str]:
    """Returns the kinds of the machine's accelerators, from the system's own files.

    JAX is not asked: it would be imported, and reserve their memory.
    """
    kinds = []
    for about in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with contextlib.suppress(OSError):
            found = re.search(r"^Model:\s*(.+)$", about.read_text(), re.MULTILINE)
            kinds.append(found[1].strip() if found else "NVIDIA GPU")
    devices = Path("/dev")
    kinds = kinds or ["NVIDIA GPU" for _ in devices.glob("nvidia[0-9]*")]
    return kinds + ["TPU" for _ in devices.glob("accel[0-9]*")]
