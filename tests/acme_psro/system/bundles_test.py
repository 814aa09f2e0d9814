"""Tests of bundles."""

from __future__ import annotations

import json
import pathlib

import pytest

from acme_psro.system import bundles
from acme_psro.system.bundles import BundleError, pack, unpack

FILES = {"a.bin": bytes(range(256)), "inner/b.json": b"{}", "inner/empty": b""}


def test_bytes_in_are_bytes_out(tmp_path: pathlib.Path) -> None:
    assert unpack(pack(FILES)) == FILES
    assert pack(FILES) == pack(dict(FILES))
    assert unpack(pack({})) == {}
    bundles.write(tmp_path / "new", unpack(pack(FILES)))
    found = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*.*")}
    assert found == {"a.bin", "inner/b.json"}
    assert (tmp_path / "new" / "a.bin").read_bytes() == FILES["a.bin"]


def test_every_altered_byte_is_noticed() -> None:
    bundle = pack({"a": b"some content", "b": b"more"})
    for place in range(len(bundle)):
        altered = bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :]
        # A name is no content: altered to another one, it is still the name of an intact file.
        try:
            assert sorted(unpack(altered).values()) == [b"more", b"some content"]
        except BundleError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, 100, -1])
def test_what_was_cut_short_is_refused(length: int) -> None:
    with pytest.raises(BundleError, match="altered on its way"):
        unpack(pack(FILES)[:length])


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "a//b", "", ".", "a\\b", "a\0b"])
def test_paths_that_leave_the_directory_are_refused(path: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(BundleError, match="relative paths"):
        pack({path: b""})
    header = json.dumps([[path, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]])
    with pytest.raises(BundleError, match="relative paths"):
        unpack(len(header).to_bytes(8, "big") + header.encode())
    with pytest.raises(BundleError, match="relative paths"):
        bundles.write(tmp_path, {"fine": b"", path: b""})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("header", ["{}x", "[1]", '[["a", -1, "x"]]', '[["a", true, "x"]]', '[[1, 1, "x"]]'])
def test_headers_that_mean_nothing_are_refused(header: str) -> None:
    with pytest.raises(BundleError, match="header cannot be read"):
        unpack(len(header).to_bytes(8, "big") + header.encode())
