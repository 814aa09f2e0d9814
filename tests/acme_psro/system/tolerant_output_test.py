"""Tests of acme_psro.system.tolerant_output: printing never ends a process."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

from acme_psro.system import tolerant_output

_ROOT = pathlib.Path(__file__).resolve().parents[3]
# Prints more than any buffer holds, and says in a file that it came to its end.
_PROGRAM = """
import pathlib, sys
from acme_psro.system import tolerant_output
tolerant_output.install()
for stream in (sys.stdout, sys.stderr):
    for _ in range(2000):
        print("x\\u00e4\\u2026" * 50, file=stream, flush=True)
pathlib.Path(sys.argv[1]).write_text("done")
"""


def _run(redirections: str, directory: pathlib.Path, **environment: str) -> tuple[int, str]:
    """Runs the program in a shell with redirections; returns its exit code and what it wrote at the end."""
    end = directory / "end"
    line = f'"$0" -c "$1" "$2" {redirections}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, _PROGRAM, str(end)],
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        timeout=60,
    )
    return done.returncode, end.read_text() if end.exists() else ""


@pytest.mark.parametrize(
    "redirections",
    [
        "2>&1 | true",
        "| head -1",
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        ">/dev/full",
        "2>/dev/full",
        "> /dev/null 2>&1",
    ],
)
def test_a_program_ends_as_if_everything_had_been_read(redirections: str, tmp_path: pathlib.Path) -> None:
    assert _run(redirections, tmp_path) == (0, "done")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_the_encoding_lacks_are_escaped(encoding: str, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    assert _run(f">{out} 2>&1", tmp_path, PYTHONIOENCODING=encoding) == (0, "done")
    expected = "xä…".encode(encoding, errors="backslashreplace")
    assert out.read_bytes().startswith(expected)


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path: pathlib.Path) -> None:
    program = (
        "from acme_psro.system import tolerant_output; tolerant_output.install()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); file.write('ours')\n"
        "import os; os.write(2, b'a library')"
    )
    command = ["bash", "-c", '"$0" -c "$1" 2>&-', sys.executable, program]
    assert subprocess.run(command, cwd=_ROOT, timeout=60).returncode == 0
    assert (tmp_path / "file").read_text() == "ours"


def test_streams_of_other_code_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stdout", mine)
    tolerant_output.install()
    assert sys.stdout is mine
    assert tolerant_output.find_failure(mine) is None


@pytest.mark.parametrize(("target", "lost"), [("/dev/full", "OSError"), ("/dev/null", "NoneType")])
def test_lost_text_is_known_afterwards(target: str, lost: str) -> None:
    program = (
        "import sys; from acme_psro.system import tolerant_output; tolerant_output.install(); print('x')\n"
        "print(type(tolerant_output.find_failure(sys.stdout)).__name__, file=sys.stderr)"
    )
    with open(target, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=_ROOT, stdout=stdout, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.returncode, done.stderr.decode()) == (0, f"{lost}\n")
