"""Check that all nodes of a cluster run the same Python and the same packages as this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

# Packages that decide about results, or that must understand what is sent.
_PACKAGES = ("acme-psro", "jax", "numpy", "open_spiel")
# Seconds that all nodes together have for their answers. One that is slow to answer is used unchecked.
_ANSWER_SECONDS = 60.0


def read_versions() -> dict[str, str]:
    """Returns the versions of Python, without its last part, and of the packages that are installed here."""
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe_difference(node: str, here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """Returns one line about the first version that differs, or None if all are equal.

    Args:
      node: name of the node.
      here: versions by name, see `read_versions`.
      there: the same of the node.
    """
    for name, version in here.items():
        other = there.get(name, "not installed")
        if other != version:
            return (
                f"the Ray node {node} has {name} {other}, and this machine has {version}: install the same "
                "versions on all machines."
            )
    return None


def describe_refusal(node: str, error: str) -> str:
    """Returns one line about a node that cannot import this package, or a module of the user's own.

    Args:
      node: name of the node.
      error: what was raised there, as text, whose last line is the error itself if it has a traceback.
    """
    reason = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "")
    _, is_module, about = reason.partition("--import_module=")
    if is_module:
        return f"on the Ray node {node}, {is_module}{about} Install it on all machines."
    return f"the Ray node {node} cannot run acme-psro ({reason}): install it on all machines."


def check() -> None:
    """Asks all nodes of the cluster for their versions.

    Raises:
      ValueError: a node has other versions, or cannot import this package.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
    ask = ray.remote(read_versions)
    asked: dict[Any, str] = {}
    for node in nodes:
        # A node that is removed at this moment answers nothing, and is asked for nothing later.
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[ask.options(num_cpus=0, scheduling_strategy=there).remote()] = node["NodeManagerAddress"]
    here = read_versions()
    for answer in ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)[0]:
        try:
            there_versions = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            raise ValueError(describe_refusal(asked[answer], str(error.cause))) from None
        except ray.exceptions.RayError:
            continue
        difference = describe_difference(asked[answer], here, there_versions)
        if difference is not None:
            raise ValueError(difference)
