"""Bundles: files as bytes that travel to another machine, with a digest of each, and files again there.

    8 bytes    length of the header, as a big-endian whole number
    header     JSON: a list of [path, size, SHA-256 digest], one for each file
    contents   of all files, in the order of the header

Paths are relative, with "/" between their parts. Nothing is pickled, and nothing is written before all
digests are checked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from acme_psro.system.files import write_atomically

_LENGTH_BYTES = 8
# A header of a million files is smaller than this.
_MOST_HEADER_BYTES = 2**28


class BundleError(ValueError):
    """A bundle is not what was packed. The message is one line."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """Returns files as a bundle; equal files give equal bytes.

    Args:
      files: contents by relative path.

    Raises:
      BundleError: a path is absolute, or leads out of the directory.
    """
    check_paths(files)
    entries = [[path, len(data), hashlib.sha256(data).hexdigest()] for path, data in files.items()]
    header = json.dumps(entries).encode()
    return b"".join([len(header).to_bytes(_LENGTH_BYTES, "big"), header, *files.values()])


def unpack(bundle: bytes) -> dict[str, bytes]:
    """Returns the files of a bundle, by relative path.

    Raises:
      BundleError: the bundle was cut short or altered, or a path leads out of the directory.
    """
    start = _LENGTH_BYTES + min(int.from_bytes(bundle[:_LENGTH_BYTES], "big"), _MOST_HEADER_BYTES)
    files: dict[str, bytes] = {}
    for path, size, digest in _parse_header(bundle[_LENGTH_BYTES:start]):
        data = bundle[start : start + size]
        start += size
        if hashlib.sha256(data).hexdigest() != digest:
            raise BundleError(f"a bundle was altered on its way: {path} is not the file that was packed.")
        files[path] = data
    if start != len(bundle):
        raise BundleError("a bundle was altered on its way: its length is not that of its files.")
    return files


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    """Writes files into a directory, each one completely or not at all.

    Args:
      directory: the directory, which is made if it does not exist.
      files: contents by relative path.

    Raises:
      BundleError: a path leads out of the directory; nothing is written.
      OSError: a file cannot be written.
    """
    check_paths(files)
    for path, data in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, data)


def _parse_header(header: bytes) -> list[tuple[str, int, str]]:
    """Returns path, size and digest of each file.

    Raises:
      BundleError: the header is invalid.
    """
    try:
        entries: Any = json.loads(header)
        parsed = [(path, size, digest) for path, size, digest in entries]
    except (ValueError, TypeError):
        raise BundleError("a bundle was altered on its way: its header cannot be read.") from None
    for path, size, digest in parsed:
        if not (isinstance(path, str) and type(size) is int and size >= 0 and isinstance(digest, str)):
            raise BundleError("a bundle was altered on its way: its header cannot be read.")
    check_paths(path for path, _, _ in parsed)
    if len({path for path, _, _ in parsed}) < len(parsed):
        raise BundleError("a bundle was altered on its way: it names a file twice.")
    return parsed


def check_paths(paths: Iterable[str]) -> None:
    """Checks that paths stay in the directory of their bundle.

    Raises:
      BundleError: one of them does not.
    """
    for path in paths:
        if any(part in ("", ".", "..") for part in path.split("/")) or re.search(r"[\0\\]", path):
            raise BundleError(f"a bundle must hold relative paths of files, not {path!r}.")
