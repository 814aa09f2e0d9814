"""Tests of acme_psro.system.packages: packages of the same name as ours are noticed, and never imported."""

import pathlib
import sys
import types

import pytest

from acme_psro.system import packages

NAME = "package_of_two_projects"
MARK = "OWNER = 'us'"
FOREIGN = "raise SystemExit('a foreign package was imported')"


def add_package(root: pathlib.Path, source: str | None) -> pathlib.Path:
    """Makes a package in `root`, without an `__init__.py` if `source` is None, and returns `root`."""
    (root / NAME).mkdir(parents=True)
    if source is not None:
        (root / NAME / "__init__.py").write_text(source)
    return root


def refusal(root: pathlib.Path) -> str:
    """Returns the one line with which the package that Python finds is refused."""
    with pytest.raises(ImportError) as caught:
        packages.check_own(NAME, MARK, root)
    assert caught.value.name == NAME
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_own_package_is_accepted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(add_package(tmp_path, MARK))
    packages.check_own(NAME, MARK, tmp_path)
    assert NAME not in sys.modules


@pytest.mark.parametrize("source", [FOREIGN, "", None])
def test_package_that_was_overwritten_is_refused(
    source: str | None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(add_package(tmp_path, source))
    line = refusal(tmp_path)
    assert line.startswith(f"another project has replaced the package {NAME} of acme-psro in {tmp_path}: ")
    assert "pip install --force-reinstall --no-deps acme-psro" in line


def test_package_that_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    line = refusal(tmp_path)
    assert line.startswith(f"there is no package {NAME} of acme-psro in {tmp_path}: ")
    assert "pip install --force-reinstall --no-deps acme-psro" in line


def test_package_that_hides_ours_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, foreign = add_package(tmp_path / "own", MARK), add_package(tmp_path / "foreign", FOREIGN)
    monkeypatch.syspath_prepend(own)
    monkeypatch.syspath_prepend(foreign)
    assert refusal(own).startswith(f"{foreign / NAME} hides the package {NAME} of acme-psro in {own}: ")


def test_folder_without_init_hides_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, folder = add_package(tmp_path / "own", MARK), add_package(tmp_path / "folder", None)
    monkeypatch.syspath_prepend(own)
    monkeypatch.syspath_prepend(folder)
    packages.check_own(NAME, MARK, own)


def test_module_that_was_made_by_hand_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, NAME, types.ModuleType(NAME))
    assert refusal(tmp_path)


@pytest.mark.parametrize(
    ("argv0", "start", "moved"),
    [
        ("-m", "elsewhere", True),
        # Run from our own directory, in which the packages are.
        ("-m", "root", False),
        # A script, such as the command `acme-psro`, or `-c`: its own directory stays where it is.
        ("script.py", "elsewhere", False),
        ("-c", "elsewhere", False),
    ],
)
def test_current_directory_comes_last_if_we_are_started_by_name(
    argv0: str, start: str, moved: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("root", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / start)
    before = [str(tmp_path / start), str(tmp_path / "root"), "library"]
    monkeypatch.setattr(sys, "path", list(before))
    monkeypatch.setattr(sys, "argv", [argv0, "--flag"])
    packages.put_started_directory_last(tmp_path / "root")
    assert sys.path == (before[1:] + before[:1] if moved else before)
