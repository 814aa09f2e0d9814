"""The interpreter search, on made-up machines: a path and a home with imitation interpreters."""

import pathlib
import shutil
import subprocess
import sys
import venv

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / ".ci" / "find_python"

WORKS = "#!/bin/sh\nexit 0\n"
REFUSES = "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n"


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory whose `bin` is on the path, with the few tools that the search itself needs."""
    (tmp_path / "bin").mkdir()
    for tool in ("env", "bash", "ls", "sort"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def add(machine: pathlib.Path, name: str, source: str = WORKS) -> str:
    """Writes an executable, and returns its path."""
    path = machine / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    path.chmod(0o755)
    return str(path)


def find(machine: pathlib.Path, *versions: str) -> subprocess.CompletedProcess[str]:
    """Runs the search on `machine`."""
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    return subprocess.run([SCRIPT, *versions], env=environment, capture_output=True, text=True)


def test_takes_the_first_version_found(machine: pathlib.Path) -> None:
    add(machine, "bin/python3.12")
    newest = add(machine, "bin/python3.13")
    assert find(machine, "3.10", "3.13", "3.12").stdout == f"{newest}\n"


@pytest.mark.parametrize(
    "folder", [".pyenv/versions", ".asdf/installs/python", ".local/share/mise/installs/python"]
)
def test_looks_behind_a_shim_that_refuses(machine: pathlib.Path, folder: str) -> None:
    add(machine, "bin/python3.10", REFUSES)
    add(machine, "bin/python3.13")
    add(machine, f"{folder}/3.10.9/bin/python3.10")
    newest_patch = add(machine, f"{folder}/3.10.13/bin/python3.10")
    assert find(machine, "3.10", "3.13").stdout == f"{newest_patch}\n"


def test_asks_conda(machine: pathlib.Path) -> None:
    add(machine, "bin/conda", f"#!/bin/sh\necho {machine}/conda\n")
    python = add(machine, "conda/envs/games/bin/python3.10")
    assert find(machine, "3.10").stdout == f"{python}\n"


def test_lets_uv_download_3_10_before_it_takes_another(machine: pathlib.Path) -> None:
    uv = f"""#!/bin/sh
case "$1 $2 $3" in
  "python install --quiet") : >{machine}/installed ;;
  *) [ "$4" = 3.10 ] && [ -e {machine}/installed ] && echo {machine}/uv/python3.10 ;;
esac
"""
    add(machine, "bin/uv", uv)
    add(machine, "bin/python3.13")
    downloaded = add(machine, "uv/python3.10")
    assert find(machine, "3.10", "3.13").stdout == f"{downloaded}\n"


def test_takes_another_where_uv_cannot_download(machine: pathlib.Path) -> None:
    add(machine, "bin/uv", REFUSES)
    other = add(machine, "bin/python3.12")
    assert find(machine, "3.10", "3.13", "3.12").stdout == f"{other}\n"


def test_fails_where_none_works(machine: pathlib.Path) -> None:
    add(machine, "bin/python3.10", REFUSES)
    done = find(machine, "3.10", "3.13")
    assert (done.returncode, done.stdout) == (1, "")


def test_takes_a_real_interpreter_but_not_a_virtual_environment(machine: pathlib.Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    venv.create(machine / "venv", symlinks=True)
    add(machine, f"bin/python{version}", f'#!/bin/sh\nexec {machine}/venv/bin/python "$@"\n')
    assert find(machine, version).returncode == 1
    real = f"{sys.base_prefix}/bin/python{version}"
    python = add(machine, f"bin/python{version}", f'#!/bin/sh\nexec {real} "$@"\n')
    assert find(machine, version).stdout == f"{python}\n"


def test_passes_over_an_interpreter_of_another_version(machine: pathlib.Path) -> None:
    add(machine, "bin/python3.99", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    assert find(machine, "3.99").returncode == 1
