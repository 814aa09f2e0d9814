"""Tests of the changes that come back from another machine."""

from __future__ import annotations

import pathlib

import pytest

from acme_psro.system.bundles import BundleError
from acme_psro.system.executors import changes
from acme_psro.system.executors.changes import Changes, Outgoing, apply


def put(directory: pathlib.Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


def read(directory: pathlib.Path) -> dict[str, str]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {path.relative_to(directory).as_posix(): path.read_text() for path in paths}


@pytest.fixture
def there(tmp_path: pathlib.Path) -> pathlib.Path:
    """The directory on the other machine."""
    put(tmp_path / "there", {"old.csv": "1", "checkpoints/1/.array": "one"})
    return tmp_path / "there"


def test_only_changes_come_and_come_again_until_they_have_arrived(there: pathlib.Path) -> None:
    outgoing = Outgoing(there, "")
    assert outgoing.look(0, is_last=False) == Changes(1, {}, [])
    put(there, {"new.csv": "2", ".hidden": "", "half.tmp": ""})
    (there / "old.csv").unlink()
    first = outgoing.look(1, is_last=True)
    assert first == Changes(2, {"new.csv": b"2"}, ["old.csv"])
    # The answer was lost on its way.
    assert outgoing.look(1, is_last=True) == first._replace(number=3)
    assert outgoing.look(3, is_last=True) == Changes(4, {}, [])


def test_a_large_file_that_keeps_changing_waits(there: pathlib.Path) -> None:
    outgoing = Outgoing(there, "")
    put(there, {"program.log": "x" * 2**25})
    first = outgoing.look(0, is_last=False)
    assert list(first.files) == ["program.log"]
    put(there, {"program.log": "y" * 2**25, "small": ""})
    assert list(outgoing.look(first.number, is_last=False).files) == ["small"]
    assert list(outgoing.look(2, is_last=True).files) == ["program.log"]


def test_the_marker_comes_last_and_checkpoints_whole(there: pathlib.Path, tmp_path: pathlib.Path) -> None:
    here = tmp_path / "here"
    put(here, {"checkpoints/1/.array": "one", "finished.json": "of an earlier launch"})
    outgoing = Outgoing(there, "finished.json")
    tmp = there / "checkpoints" / "2.orbax-checkpoint-tmp"
    put(tmp, {"d/.zarray": "two", "m": "3"})
    put(there, {"finished.json": "{}"})
    assert outgoing.look(0, is_last=False).files == {}
    tmp.rename(there / "checkpoints" / "2")
    found = outgoing.look(0, is_last=False)
    assert set(found.files) == {"checkpoints/2/d/.zarray", "checkpoints/2/m"}
    apply(here, found.files, found.removed, "finished.json")
    last = outgoing.look(found.number, is_last=True)
    assert set(last.files) == {"finished.json"}
    apply(here, last.files, last.removed, "finished.json")
    expected = {"checkpoints/1/.array": "one", "checkpoints/2/d/.zarray": "two", "checkpoints/2/m": "3"}
    assert read(here) == {**expected, "finished.json": "{}"}


def test_a_checkpoint_that_vanishes_takes_its_copy_along(there: pathlib.Path, tmp_path: pathlib.Path) -> None:
    here = tmp_path / "here"
    put(here, {"checkpoints/1/.array": "one"})
    (there / "checkpoints" / "1" / ".array").unlink()
    found = Outgoing(there, "")
    put(there, {"checkpoints/2/a": "two"})
    looked = found.look(0, is_last=False)
    apply(here, looked.files, ["checkpoints/1/.array"], "")
    assert read(here) == {"checkpoints/2/a": "two"}
    assert not (here / "checkpoints" / "1").exists()


def test_what_an_interrupted_writer_left_is_tidied(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {".incoming-1234/a": "", "kept": ""})
    changes.tidy(tmp_path)
    assert read(tmp_path) == {"kept": ""}


def test_nothing_is_changed_if_a_path_leads_out(tmp_path: pathlib.Path) -> None:
    put(tmp_path, {"outside": "", "here/inside": ""})
    with pytest.raises(BundleError):
        apply(tmp_path / "here", {"a": b""}, ["../outside"], "")
    with pytest.raises(BundleError):
        apply(tmp_path / "here", {"a": b"", "../outside": b"x"}, [], "")
    assert read(tmp_path) == {"outside": "", "here/inside": ""}
