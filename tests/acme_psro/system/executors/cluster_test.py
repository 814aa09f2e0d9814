"""Tests of the connection to a Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from acme_psro.system.executors import cluster, node_versions
from acme_psro.system.executors.placing import Placing
from tests.acme_psro.system.executors import ray_nodes
from tests.acme_psro.system.executors.ray_nodes import Nodes


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """One node, whose NumPy seems to have another version."""
    other = tmp_path_factory.mktemp("packages") / "numpy-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    with ray_nodes.cluster(connect=False, env_vars={"PYTHONPATH": str(other.parent)}) as found:
        yield found


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def refusal(placing: Placing, seconds: float = 10.0) -> str:
    """Returns the line with which a cluster is refused, in time."""
    began = time.monotonic()
    with pytest.raises(ValueError, match=r".+") as caught:
        cluster.connect(placing)
    assert time.monotonic() - began < seconds
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_address_where_nobody_answers(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 0.2)
    address = f"127.0.0.1:{server.getsockname()[1]}"
    line = refusal(Placing("ray", address))
    assert line.startswith(f"no Ray cluster answers at --ray_address={address}: start one with `ray start")
    server.close()
    assert refusal(Placing("ray", address)) == line
    assert "answers at --ray_address=no-such-host.invalid:1" in refusal(
        Placing("ray", "no-such-host.invalid:1")
    )


def test_another_server_is_no_cluster(server: socket.socket) -> None:
    def answer() -> None:
        connection = server.accept()[0]
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    assert "no Ray cluster answers" in refusal(Placing("ray", f"127.0.0.1:{server.getsockname()[1]}"))


def test_no_cluster_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert refusal(Placing("ray")).startswith("no Ray cluster runs on this machine: start one with")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    assert refusal(Placing("ray")).startswith("the Ray cluster at 127.0.0.1:1 does not answer any more")


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refusal(Placing("ray")).endswith('pip install "acme-psro[cluster]".')


def test_versions_that_differ_are_both_named(nodes: Nodes) -> None:
    numpy = node_versions.read_versions()["numpy"]
    expected = f" has numpy 0.0.1, and this machine has {numpy}: install the same versions on all machines."
    assert refusal(nodes.placing(), seconds=60.0).endswith(expected)
    # The refusal has ended the connection, so that the next call is refused too.
    assert not ray_nodes.ray.is_initialized()


def test_versions_of_python_differ_by_their_first_two_numbers() -> None:
    here = node_versions.read_versions()
    assert here["Python"] == "{}.{}".format(*sys.version_info[:2])
    assert node_versions.describe_difference("n", here, dict(here)) is None
    line = node_versions.describe_difference("10.0.0.2", here, {**here, "Python": "3.9"})
    assert line is not None
    assert line.startswith(f"the Ray node 10.0.0.2 has Python 3.9, and this machine has {here['Python']}:")
    assert "not installed" in str(node_versions.describe_difference("n", {"jax": "1"}, {}))


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"),
    [
        (1.0, 0.0, 8),
        (3.0, 0.0, 2),
        (0.5, 0.0, 16),
        (1.0, 1.0, 2),
        (1.0, 0.3, 6),
        (4.0, 0.5, 2),
        (1.0, 4.0, 0),
    ],
)
def test_jobs_fit_by_what_is_scarcer(cpus: float, gpus: float, expected: int) -> None:
    placing = Placing("ray", cpus_per_response=cpus, gpus_per_response=gpus)
    assert cluster._fitting({"CPU": 8.0, "GPU": 2.0}, placing) == expected
    assert cluster._fitting({"memory": 1.0}, placing) == 0


@pytest.mark.parametrize(
    ("variables", "has_file", "mode"),
    [
        ({}, True, "token"),
        ({}, False, None),
        ({"RAY_AUTH_TOKEN": "secret"}, False, "token"),
        ({"RAY_AUTH_TOKEN_PATH": "/no/such/file"}, False, None),
        ({"RAY_AUTH_MODE": "disabled"}, True, "disabled"),
    ],
)
def test_a_token_is_shown_if_there_is_one_and_the_user_has_not_decided(
    variables: dict[str, str],
    has_file: bool,
    mode: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    # Monkeypatch takes back what the function sets.
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in {**variables, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    if has_file:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("secret")
    cluster._offer_token()
    assert os.environ.get("RAY_AUTH_MODE") == mode


def test_a_node_without_a_module_of_the_users_own_is_named_in_one_line() -> None:
    error = "not found from sys.path [..]: Traceback\n  File x\nValueError: --import_module=mine: none.\n"
    line = node_versions.describe_refusal("10.0.0.2", error)
    assert line == "on the Ray node 10.0.0.2, --import_module=mine: none. Install it on all machines."
    line = node_versions.describe_refusal("10.0.0.2", "No module named 'acme_psro'")
    assert "cannot run acme-psro (No module named 'acme_psro'): install it" in line
