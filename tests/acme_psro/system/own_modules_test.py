"""Tests of system.own_modules: modules of a user's own, in this process and in those that it starts."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from acme_psro.system import own_modules

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A directory of a user, which is the current one and on nobody's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(own_modules.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    os.environ.pop(own_modules.VARIABLE, None)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_modules_of_the_current_directory_are_imported(directory: pathlib.Path) -> None:
    (directory / "own_first.py").write_text("import own_second\nVALUE = own_second.VALUE + 1\n")
    (directory / "own_second.py").write_text("VALUE = 1\n")
    (directory / "own_package").mkdir()
    (directory / "own_package" / "inner.py").write_text("VALUE = 5\n")
    own_modules.import_everywhere(["own_first", "own_package.inner"])
    assert sys.modules["own_first"].VALUE == 2
    assert sys.modules["own_package.inner"].VALUE == 5
    # Installed packages are found first.
    assert sys.path[-1] == str(directory)


def test_nothing_to_import_changes_nothing(directory: pathlib.Path) -> None:
    own_modules.import_everywhere([])
    assert own_modules.VARIABLE not in os.environ
    assert str(directory) not in sys.path


def test_child_processes_import_them_with_our_package(directory: pathlib.Path) -> None:
    (directory / "own_solver.py").write_text(
        "from acme_psro.solvers import SOLVERS\nSOLVERS['own'] = SOLVERS['uniform']\n"
    )
    own_modules.import_everywhere(["own_solver"])
    program = "from acme_psro.solvers import SOLVERS; print('own' in SOLVERS)"
    # In another directory, and without this process's path.
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such", r"--import_module=no_such: no module no_such is installed, and none is in /"),
        ("json.no_such", r"--import_module=json\.no_such: no module json\.no_such is installed"),
        ("own_game.py", r"takes the name of a module, such as own_game, not 'own_game\.py'"),
        ("./own_game", r"takes the name of a module, such as own_game, not"),
        ("own-game", r"takes the name of a module, such as my_games, not"),
        ("", r"takes the name of a module, such as my_games, not ''"),
        ("a.", r"takes the name of a module"),
        (
            "lacking",
            r"--import_module=lacking fails: ModuleNotFoundError: .* 'no_such' \(.*lacking\.py, line 1\)",
        ),
        ("unfinished", r"--import_module=unfinished fails: SyntaxError: .* \(.*unfinished\.py, line 2\)"),
        ("failing", r"--import_module=failing fails: KeyError: 'a b' \(.*failing\.py, line 2\)"),
        ("leaving", r"--import_module=leaving fails: SystemExit: 3 \(.*leaving\.py, line 2\)"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(directory: pathlib.Path, name: str, says: str) -> None:
    (directory / "lacking.py").write_text("import no_such\n")
    (directory / "unfinished.py").write_text("a = 1\nb = (\n")
    (directory / "failing.py").write_text("def fail():\n  raise KeyError('a b')\nfail()\n")
    (directory / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ValueError, match=says) as refusal:
        own_modules.import_everywhere([name])
    assert "\n" not in str(refusal.value)
    assert own_modules.VARIABLE not in os.environ


def test_what_is_passed_on_names_modules_and_their_directory(directory: pathlib.Path) -> None:
    (directory / "own_third.py").touch()
    own_modules.import_everywhere(["own_third"])
    passed = json.loads(os.environ[own_modules.VARIABLE])
    assert passed == {"modules": ["own_third"], "directory": str(directory)}
