"""Tests of acme_psro.system.files."""

import errno
import os
import pathlib
import stat

import pytest

from acme_psro.system import files


def test_write_atomically_replaces_text_and_bytes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, "é\r\n")
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    files.write_atomically(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["file"]


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "plain").write_text("")
    files.write_atomically(tmp_path / "file", "")
    plain, written = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "file"))
    assert written == plain


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk is full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk is full") as failure:
        files.write_atomically(path, "new")
    # The system does not say which file could not be written.
    assert (failure.value.errno, failure.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_failure_names_the_file_and_not_the_temporary_one(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError) as failure:
        files.write_atomically(tmp_path / "nowhere" / "file", "new")
    assert failure.value.filename == str(tmp_path / "nowhere" / "file")
