"""Connection of this process to a Ray cluster, with all checks that need the cluster.

Ray is imported by the functions alone, so that runs on one machine do without it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_psro.system import own_modules
from acme_psro.system.executors import hosts, node_versions, probe
from acme_psro.system.executors.placing import AUTO, Placing

# Seconds after which an address counts as one at which nothing answers.
_ANSWER_SECONDS = 8.0
_START_ONE = (
    "start one with `ray start --head`, join other machines by `ray start --address=HOST:6379`, or give "
    "--ray_address=HOST:PORT."
)


def connect(placing: Placing) -> None:
    """Connects this process to the cluster, unless it is connected already.

    Nothing is started. A process that is connected to any cluster stays connected to that one.

    Args:
      placing: the cluster's address, and what a job takes.

    Raises:
      ValueError: Ray is not installed, no cluster answers, no node has what a job takes, or a node has other
        versions of the packages than this machine.
    """
    check_installed("--executor=ray")
    _offer_token()
    import ray

    is_new = not ray.is_initialized()
    if is_new:
        _join(_find_address(placing.ray_address))
    try:
        if not workers_that_fit(placing):
            raise ValueError(_describe_lack(placing, _resources_of_nodes()))
        if is_new:
            node_versions.check()
    except ValueError:
        # The next call checks everything again.
        if is_new:
            disconnect()
        raise


def check_installed(user: str) -> None:
    """Checks that Ray is installed, without importing it.

    Args:
      user: the flag that needs it, for the message.

    Raises:
      ValueError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ValueError(f'{user} needs Ray, which is not installed: pip install "acme-psro[cluster]".')


def _offer_token() -> None:
    """Makes Ray show this machine's token to the cluster, unless the user has decided about it.

    Clusters that newer versions of `ray start` begin ask for one, and others ignore it.
    """
    # Ray reads the variable when it is imported. Set later, it would reach the processes of this one alone.
    if "ray" in sys.modules:
        return
    places = (os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place and Path(place).is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def disconnect() -> None:
    """Disconnects this process from the cluster; what it has started there ends."""
    import ray

    hosts.forget()
    ray.shutdown()


def workers_that_fit(placing: Placing) -> int:
    """Returns how many jobs the cluster's nodes can carry out side by side, if nothing else runs there."""
    return sum(_fitting(resources, placing) for resources in _resources_of_nodes())


def _fitting(resources: Mapping[str, float], placing: Placing) -> int:
    """Returns how many jobs a node with these resources can carry out side by side."""
    cpus = math.floor(resources.get("CPU", 0.0) / placing.cpus_per_response)
    if not placing.gpus_per_response:
        return cpus
    gpus = resources.get("GPU", 0.0)
    # A fraction of a GPU is taken from one device, so that what is left of several devices is of no use.
    if placing.gpus_per_response < 1:
        return min(cpus, int(gpus) * placing.jobs_per_gpu)
    return min(cpus, math.floor(gpus / placing.gpus_per_response))


def _resources_of_nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _describe_lack(placing: Placing, nodes: Sequence[Mapping[str, float]]) -> str:
    """Returns one line that tells what no node has, and what the nodes have."""
    asked = f"--cpus_per_response={placing.cpus_per_response:g}"
    if placing.gpus_per_response:
        asked += f" --gpus_per_response={placing.gpus_per_response:g}"
    have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes[:8])
    more = f" and {len(nodes) - 8} more" if len(nodes) > 8 else ""
    return f"no node of the Ray cluster has room for {asked}: its {len(nodes)} nodes have {have}{more}."


def _find_address(given: str) -> str:
    """Returns the address of the cluster as `HOST:PORT`, after something has answered there.

    Raises:
      ValueError: no cluster is known, or nothing answers.
    """
    address = given if given != AUTO else os.environ.get("RAY_ADDRESS") or _read_current()
    if not address or address == AUTO:
        raise ValueError(f"no Ray cluster runs on this machine: {_START_ONE}")
    if probe.answers(address, _ANSWER_SECONDS):
        return address
    if given == AUTO:
        raise ValueError(f"the Ray cluster at {address} does not answer any more: {_START_ONE}")
    raise ValueError(f"no Ray cluster answers at --ray_address={address}: {_START_ONE}")


def _read_current() -> str:
    """Returns the address of the cluster that was last started or joined on this machine, or ""."""
    root = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    try:
        return root.read_text().strip()
    except OSError:
        return ""


def _join(address: str) -> None:
    import ray

    # Ray prints the log of each node that is lost into the run's display, and has no option to turn that off.
    with contextlib.suppress(ImportError):
        from ray._private import worker

        worker.print_to_stdstream = lambda *_, **__: None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if own_modules.VARIABLE in os.environ:
        inherited = {own_modules.VARIABLE: os.environ[own_modules.VARIABLE]}
        options["runtime_env"] = {"env_vars": inherited}
    # Ray replaces the handler of SIGTERM by one that ends the process at once.
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError) as error:
        raise ValueError(
            f"cannot join the Ray cluster at {address}: {' '.join(str(error).split())}. If it has a token, "
            "copy ~/.ray/auth_token of its first machine to this one."
        ) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
