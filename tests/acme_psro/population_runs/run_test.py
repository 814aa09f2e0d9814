"""`acme_psro.run`: it does what the command does, in the words and manners of Python."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import run_psro
from acme_psro.games.loading import load_game
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.events import IterationEnded, ResponseFound
from acme_psro.system.lock import locked
from tests.acme_psro.commands.launching import ROOT, contents, exit_code
from tests.acme_psro.population_runs.fakes import untimed
from tests.precision import double_precision

KUHN: dict[str, Any] = {"game": "kuhn_poker", "oracle": "exact"}


class Interrupting(Callback):
    """Stands for Ctrl-C while an iteration's responses are looked for."""

    def on_response(self, event: ResponseFound) -> None:
        if event.iteration == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns the directory of a run of the command."""
    directory = tmp_path_factory.mktemp("runs") / "command"
    assert exit_code(run_psro.main, "--game=kuhn_poker", "--oracle=exact", f"--output_dir={directory}") == 0
    return directory


def text_of(rows: list[dict[str, float]]) -> str:
    """Returns rows as text, because NaN does not equal itself."""
    return repr(rows)


def test_it_does_what_the_command_does(command: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = acme_psro.run(**KUHN, output_dir=tmp_path / "run")
    assert text_of(untimed(tmp_path / "run")) == text_of(untimed(command))
    assert (tmp_path / "run" / "config.json").read_bytes() == (command / "config.json").read_bytes()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in command.iterdir()}
    assert (result.run_dir, result.game) == (tmp_path / "run", "kuhn_poker()")
    nash_conv = exploitability.nash_conv(load_game("kuhn_poker"), result.policy())
    assert nash_conv == pytest.approx(result.metrics[-1]["nash_conv"], abs=1e-9)


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    command: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(KeyboardInterrupt):
        acme_psro.run(**KUHN, output_dir=tmp_path, callbacks=[Interrupting()])
    assert {number: signal.getsignal(number) for number in before} == before
    assert not any(thread.name == "acme_psro_heartbeat" for thread in threading.enumerate())
    assert "Stopped after 1 iteration" in (tmp_path / "report.html").read_text()
    assert len(acme_psro.load_run(tmp_path).metrics) == 2
    # The lock is free again, and the command can go on with what Python has begun.
    flags = ("--game=kuhn_poker", "--oracle=exact", f"--output_dir={tmp_path}", "--resume")
    assert exit_code(run_psro.main, *flags, "--iterations=4") == 0
    acme_psro.run(**KUHN, output_dir=tmp_path, resume=True)
    assert text_of(untimed(tmp_path)) == text_of(untimed(command))


def test_without_a_directory_every_run_has_a_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    results = [acme_psro.run(**KUHN, iterations=1) for _ in range(2)]
    first, second = (result.run_dir for result in results)
    assert first != second and (first / "report.html").exists()
    assert f"report: {first / 'report.html'}\n" in capsys.readouterr().out
    assert [len(result.metrics) for result in results] == [2, 2]


def test_it_can_be_silent(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    acme_psro.run(**KUHN, iterations=1, output_dir=tmp_path, show_progress=False)
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["kuhn_poker(players=3)", "matrix_pd", "goofspiel(num_cards=3)"])
def test_games_may_be_objects(tmp_path: pathlib.Path, name: str) -> None:
    game = pyspiel.load_game(name)
    result = acme_psro.run(
        game, oracle="exact", meta_solver="uniform", iterations=1, output_dir=tmp_path, show_progress=False
    )
    again = acme_psro.run(name, oracle="exact", meta_solver="uniform", iterations=1, show_progress=False)
    assert result.game == again.game
    assert text_of(untimed(tmp_path)) == text_of(untimed(again.run_dir))


def test_a_game_whose_string_loads_another_game_is_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "pd.nfg"
    file.write_text('NFG 1 R "PD" { "a" "b" } { 2 2 }\n\n3 3 5 0 0 5 1 1\n')
    game = pyspiel.load_game(f"nfg_game(filename={file})")
    with pytest.raises(ValueError, match="does not load the same game again: pass the string"):
        acme_psro.run(game, oracle="exact", meta_solver="uniform")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"game": "kuhn_pokr"}, "unknown game 'kuhn_pokr': did you mean kuhn_poker"),
        ({"game": 3}, "game must be an OpenSpiel game or its string, not 3."),
        ({"oracle": "magic"}, "no oracle named 'magic'; use one of exact, device, launchpad."),
        ({"oracle": "device", "agent": "dqn"}, "no agent named 'dqn'"),
        ({"meta_solver": "nosh"}, "nosh"),
        ({"loop": "xyz"}, "loop='xyz' is not known; use one of"),
        ({"loop": "psro", "payoffs": "sampled"}, "payoffs='sampled' needs oracle='launchpad'"),
        (
            {"agent": "crossq"},
            "agent needs oracle='device' or oracle='launchpad', and has no effect otherwise",
        ),
        (
            {"device": {"num_envs": 3}},
            "device needs oracle='device', and has no effect otherwise: leave it out.",
        ),
        ({"launchpad": {"actor_steps": 3}}, "launchpad needs oracle='launchpad'"),
        ({"agent_settings": {"discount": 1.0}}, "agent_settings needs oracle='device' or oracle='launchpad'"),
        ({"iterations": 0}, "iterations must be at least 1, not 0."),
        ({"iterations": 1.5}, "iterations must be a whole number, not 1.5."),
        ({"iterations": "many"}, "iterations must be a whole number, not 'many'."),
        ({"seed": -1}, "seed must not be negative, not -1."),
        ({"tolerance": "small"}, "tolerance must be a number, not 'small'."),
        ({"tolerance": float("nan")}, "tolerance must be a number, not nan."),
        ({"max_nodes": 10}, "max_nodes"),
        ({"resume": True}, "there is no run to resume in"),
        (
            {"resume": True, "output_dir": None},
            "resume=True needs output_dir: name the directory of the run.",
        ),
        ({"oracle": "device", "device": {"num_envs": 0}}, "num_envs must be at least 1, not 0."),
        ({"oracle": "device", "device": {"envs": 8}}, "did you mean device.num_envs?"),
        ({"oracle": "device", "agent_settings": {"speed": 8}}, "agent_settings has critic_hidden_sizes"),
    ],
)
def test_what_is_not_allowed_is_one_line_in_words_of_python(
    tmp_path: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    arguments = {**KUHN, "output_dir": tmp_path / "run", **changes}
    with pytest.raises(ValueError) as refused:
        acme_psro.run(**arguments)
    text = str(refused.value)
    assert message in text
    assert "\n" not in text and not re.search(r"(^|\s)--\w", text)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_holds_a_run_is_left_alone(command: pathlib.Path) -> None:
    before = contents(command)
    with pytest.raises(ValueError, match="holds this run already: add resume=True to go on with it"):
        acme_psro.run(**KUHN, output_dir=command)
    with pytest.raises(ValueError, match=r"seed is 0, not 1.*give that configuration and resume=True"):
        acme_psro.run(**KUHN, seed=1, output_dir=command)
    with locked(command), pytest.raises(ValueError, match="another process is at work"):
        acme_psro.run(**KUHN, output_dir=command, resume=True)
    assert contents(command) == before


def test_double_precision_is_refused_where_it_harms(tmp_path: pathlib.Path) -> None:
    arguments = {"game": "kuhn_poker", "oracle": "device", "output_dir": tmp_path / "run"}
    with double_precision(), pytest.raises(ValueError, match="jax_enable_x64 is on"):
        acme_psro.run(**arguments)
    assert list(tmp_path.iterdir()) == []
    with double_precision():
        acme_psro.run(**KUHN, iterations=1, output_dir=tmp_path, show_progress=False)


def test_numpy_numbers_are_numbers(tmp_path: pathlib.Path) -> None:
    result = acme_psro.run(**KUHN, iterations=np.int64(1), seed=np.int32(3), output_dir=tmp_path)
    assert (result.config["iterations"], result.config["seed"]) == (1, 3)


def test_callbacks_see_the_run(tmp_path: pathlib.Path) -> None:
    values: list[float] = []

    class Keeping(Callback):
        def on_iteration(self, event: IterationEnded) -> None:
            values.append(event.row["exploitability"])

    result = acme_psro.run(**KUHN, iterations=2, output_dir=tmp_path, callbacks=[Keeping()])
    # The event is repeated if the last row is completed at the end.
    assert values[:3] == [row["exploitability"] for row in result.metrics]


NOTEBOOK = """
import sys
import acme_psro
assert "numpy" not in sys.modules
sys.argv = ["ipykernel_launcher.py", "-f", "/some/kernel.json"]
result = acme_psro.run("kuhn_poker", oracle="exact", iterations=2)
assert not {"jax", "tensorflow", "acme", "acme_psro.commands"} & set(sys.modules)
try:
    acme_psro.run("kuhn_poker", oracle="exact", iterations=0)
except ValueError as error:
    print("refused:", error)
"""


def test_it_works_in_a_notebook() -> None:
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"oracle exact; in \S+", lines[1])
    assert lines[-1] == "refused: iterations must be at least 1, not 0."
    assert (pathlib.Path(lines[-2].removeprefix("report: "))).exists()
