"""Tests of commands.play as its users run it: in a pseudo-terminal, with a pipe, and with bad input."""

import io
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from acme_psro.__main__ import COMMANDS
from tests.acme_psro.commands.launching import ROOT, Launch, contents, imported, make_launch
from tests.acme_psro.play.runs import PRODUCT, write_tree_run

_SECONDS = 30.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of Kuhn poker."""
    directory = tmp_path_factory.mktemp("play") / "kuhn"
    write_tree_run(directory, "kuhn_poker", PRODUCT)
    return directory


@pytest.fixture(scope="module")
def play() -> Iterator[Any]:
    """The launcher module, whose flags temporarily replace flags of other launchers with the same names."""
    # Another launcher's flag of this name would be refused as a duplicate.
    from acme_psro.commands import evaluate  # noqa: F401

    with imported("acme_psro.commands.play") as module:
        yield module


@pytest.fixture
def launch(play: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Launch:
    monkeypatch.setattr(sys, "stdin", io.StringIO("bet\nquit\n"))
    return make_launch(play.main, capsys)


class Terminal:
    """The command in a pseudo-terminal."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._own, other = pty.openpty()
        command = [sys.executable, "-m", "experiments.play", *arguments]
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        variables = {**inherited, "TERM": "xterm", **environment}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=other, stdout=other, stderr=other, start_new_session=True
        )
        os.close(other)
        self._unread = ""

    def type(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Returns what is printed up to the end of a text that fits a pattern."""
        end = time.monotonic() + _SECONDS
        while (found := re.search(pattern, self._unread)) is None:
            is_ready = select.select([self._own], [], [], max(0.0, end - time.monotonic()))[0]
            assert is_ready, f"{pattern} is not in {self._unread!r}"
            self._unread += os.read(self._own, 4096).decode()
        text, self._unread = self._unread[: found.end()], self._unread[found.end() :]
        return text

    def interrupt(self) -> None:
        """Sends what Ctrl-C sends, once the command waits for keys.

        Between its prompt and its waiting, Python's `input` does not notice a signal.
        """
        end = time.monotonic() + _SECONDS
        status = pathlib.Path(f"/proc/{self.process.pid}/stat")
        while status.read_text().rpartition(") ")[2][0] != "S":
            assert time.monotonic() < end, "the command does not wait for keys"
            time.sleep(0.01)
        self.process.send_signal(signal.SIGINT)

    def close(self) -> int:
        """Returns the exit code."""
        try:
            return self.process.wait(_SECONDS)
        finally:
            self.process.kill()
            os.close(self._own)


def test_a_session_in_a_terminal(run: pathlib.Path) -> None:
    before = contents(run)
    terminal = Terminal(f"--run_dir={run}", "--player=1", "--seed=1")
    first = terminal.wait_for(r"0 Pass   1 Bet\s+")
    assert "kuhn_poker(): you are player 1 of 2. (--seed=1 repeats this.)" in first
    assert "\033[1mGame 1\033[0m" in first
    terminal.type("raise\n")
    refusal = terminal.wait_for(r"type help\.\S*\s")
    assert "\033[31m'raise' is not a move here: choose 0 (Pass), 1 (Bet), or type help.\033[0m" in refusal
    terminal.type("?\n")
    assert "Player 0 at its last decision:" in terminal.wait_for("<- its choice")
    terminal.type("bet\n")
    terminal.wait_for("You see")
    terminal.type("undo\n")
    terminal.wait_for(r"Your last move is taken back\.")
    terminal.type("value\n")
    terminal.wait_for(r"as the run does \(exact\)")
    # Only at a prompt Ctrl-D is the end of the input.
    terminal.wait_for("> ")
    terminal.type("\x04")
    terminal.wait_for(r"\nNo game was finished\.")
    assert terminal.close() == 0
    assert contents(run) == before


def test_ctrl_c_ends_with_the_tally_and_without_colours_if_none_are_wanted(run: pathlib.Path) -> None:
    terminal = Terminal(f"--run_dir={run}", "--seed=2", NO_COLOR="1")
    first = terminal.wait_for(r"1 Bet\s+\S*> ")
    assert "\033[1m" not in first and "Game 1" in first
    terminal.type("0\n")
    terminal.wait_for(r"(1 Bet|quit\.)\s+\S*> ")
    terminal.interrupt()
    terminal.wait_for(r"\n(No game was finished\.|1 game: total return)")
    assert terminal.close() == 0


@pytest.mark.parametrize("module", [("experiments.play",), ("acme_psro", "play")])
def test_commands_from_a_pipe(run: pathlib.Path, module: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module, f"--run_dir={run}", "--seed=1"],
        cwd=ROOT,
        input="nonsense\n0\n",
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "'nonsense' is not a move here" in done.stdout
    assert "\033" not in done.stdout


def test_a_session_without_a_seed_is_another_one_that_can_be_repeated(launch: Launch, run: Any) -> None:
    code, out, err = launch(f"--run_dir={run}")
    assert (code, err) == (0, "")
    seed = re.search(r"\(--seed=(\d+) repeats this\.\)", out)
    assert seed is not None
    sys.stdin = io.StringIO("bet\nquit\n")
    assert launch(f"--run_dir={run}", f"--seed={seed[1]}").out == out
    sys.stdin = io.StringIO("")
    other = re.search(r"--seed=(\d+)", launch(f"--run_dir={run}").out)
    assert other is not None and other[1] != seed[1]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ((), "--run_dir is missing: name the directory of a run."),
        (("--run_dir=RUN", "--player=2"), "kuhn_poker has no player 2: choose one of 0 to 1."),
        (("--run_dir=RUN", "--player=-1"), "kuhn_poker has no player -1: choose one of 0 to 1."),
        (("--run_dir=RUN", "--player=me"), "--player must be a whole number, not 'me'"),
        (("--run_dir=RUN", "--seed=-1"), "--seed must not be negative, not -1."),
        (("--run_dir=RUN/nothing",), "there is no run in "),
        (("--run_dir=tests/data/runs_of_0_1/agent",), "is a run of run_agent: name a run of run_psro."),
        (("--run_dir=RUN", "--opponent=1"), "Unknown command line flag 'opponent'"),
    ],
)
def test_bad_input_is_one_line(
    launch: Launch, run: Any, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(ROOT)
    code, out, err = launch(*(flag.replace("RUN", str(run)) for flag in flags))
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and reason in err and err.count("\n") == 1


def test_seeds_side_by_side_are_named(launch: Launch, tmp_path: pathlib.Path) -> None:
    for seed in (0, 1):
        write_tree_run(tmp_path / f"seed_{seed}", "kuhn_poker", PRODUCT)
    code, _, err = launch(f"--run_dir={tmp_path}")
    assert code == 2
    assert err == (
        f"error: {tmp_path} holds runs of several seeds: name one of them, {tmp_path}/seed_0, seed_1.\n"
    )


def test_the_command_is_listed() -> None:
    assert COMMANDS["play"].module == "acme_psro.commands.play"
