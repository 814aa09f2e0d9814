"""Tests of the probe of addresses, with servers that send a few bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from acme_psro.system.executors import probe

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def frame(kind: int, flags: int, content: bytes = b"") -> bytes:
    return bytes([0, 0, len(content), kind, flags, 0, 0, 0, 1]) + content


@contextlib.contextmanager
def server(reply: bytes, times: int = 1) -> Iterator[str]:
    """Context manager that provides the address of a server with this answer, sent `times` times."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                assert connection.recv(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                for _ in range(times):
                    connection.sendall(reply)
                    time.sleep(0.01)
                # The connection stays open, until the other side closes it.
                while connection.recv(2**16):
                    pass

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        # A message of gRPC in answer to the call.
        (SETTINGS + frame(1, 4, b"\x88") + frame(0, 0, bytes(5)), True),
        # A cluster that asks for a token, another service of gRPC, another server of HTTP/2.
        (SETTINGS + frame(1, 5, b"\x88@\x0bgrpc-status\x0216"), True),
        (SETTINGS + frame(1, 5, b"\x88@\x0bgrpc-status\x0212"), False),
        (SETTINGS + frame(1, 5, b"\x8d"), False),
        (SETTINGS + frame(3, 0, bytes(4)), False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    ],
)
def test_only_the_head_of_a_cluster_answers(reply: bytes, expected: bool) -> None:
    with server(reply) as address:
        assert probe.answers(address, 5.0) is expected


@pytest.mark.parametrize(("reply", "times"), [(b"", 1), (SETTINGS, 200)])
def test_a_server_that_says_nothing_of_use_is_given_up_in_time(reply: bytes, times: int) -> None:
    began = time.monotonic()
    with server(reply, times) as address:
        assert not probe.answers(address, 0.3)
    assert time.monotonic() - began < 1.5


def test_addresses_that_lead_nowhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    assert not probe.answers(address, 1.0)
    assert not probe.answers(f"{'a' * 300}:1", 1.0)
