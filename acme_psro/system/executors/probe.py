"""Probe of an address: whether the head of a Ray cluster answers there.

Ray itself waits for minutes for one that does not. It would also wait for any other server, so the head is
asked whether it is alive, by a gRPC call that is written here byte by byte: an HTTP/2 connection (RFC 9113)
with one request, whose headers are literals of HPACK (RFC 7541). No package of gRPC is needed for it.
"""

from __future__ import annotations

import os
import socket
import time

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _GO_AWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS = 1, 4
_PATH = b"/ray.rpc.NodeInfoGcsService/CheckAlive"
# A message of gRPC: not compressed, and without content.
_EMPTY_MESSAGE = bytes(5)
# The value of gRPC's status UNAUTHENTICATED, with its length: the cluster asks for a token.
_UNAUTHENTICATED = b"\x0216"
_MOST_BYTES = 2**16


def answers(address: str, seconds: float) -> bool:
    """Returns True if the head of a Ray cluster answers at an address.

    With `RAY_USE_TLS`, whatever accepts a connection counts as one.

    Args:
      address: `HOST:PORT`.
      seconds: the longest time to wait.
    """
    deadline = time.monotonic() + seconds
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return True
            connection.sendall(_request(address))
            while True:
                kind, flags, content = _read_frame(connection, deadline)
                if kind == _DATA:
                    return True
                if kind == _HEADERS and flags & _END_STREAM:
                    return _UNAUTHENTICATED in content
                if kind in (_RESET, _GO_AWAY):
                    return False
    except (OSError, ValueError):
        return False


def _request(address: str) -> bytes:
    """Returns all that is sent: the beginning of the connection, no settings, and the request."""
    # Indices of HPACK's static table: `:method: POST`, `:scheme: http`, and the names `:path`, `:authority`
    # and `content-type`. The name `te` has none.
    headers = (
        bytes([0x83, 0x86])
        + bytes([0x04])
        + _text(_PATH)
        + bytes([0x01])
        + _text(address.encode())
        + bytes([0x0F, 0x10])
        + _text(b"application/grpc")
        + bytes([0x00])
        + _text(b"te")
        + _text(b"trailers")
    )
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, _EMPTY_MESSAGE)
    )


def _text(text: bytes) -> bytes:
    """Returns a string of HPACK, which must have less than 127 bytes."""
    if len(text) >= 127:
        raise ValueError("the address is too long.")
    return bytes([len(text)]) + text


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def _read_frame(connection: socket.socket, deadline: float) -> tuple[int, int, bytes]:
    """Returns the kind, the flags and the content of the next frame.

    Raises:
      OSError: it does not arrive in time, or the connection is closed.
      ValueError: it is no frame of HTTP/2, or a longer one than any answer needs.
    """
    head = _read(connection, 9, deadline)
    length = int.from_bytes(head[:3], "big")
    if length > _MOST_BYTES:
        raise ValueError("no answer of a Ray cluster is as long as this.")
    return head[3], head[4], _read(connection, length, deadline)


def _read(connection: socket.socket, length: int, deadline: float) -> bytes:
    found = b""
    while len(found) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing answers in time.")
        connection.settimeout(left)
        more = connection.recv(length - len(found))
        if not more:
            raise ConnectionError("the connection was closed.")
        found += more
    return found
