"""Tests of the progress of a program, as its files tell it."""

import io
import json
import math
import os
import pathlib
from typing import Any

import pytest

from acme_psro.agent_runs import placement, watch
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program_display import ProgramDisplay
from acme_psro.agent_runs.progress import TRAINING, Progress
from acme_psro.agent_runs.watch import ENDING, STARTING, WAITING, ProgramStatus, ProgramWatch
from acme_psro.system.jobs import Event
from acme_psro.system.tables import Table

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1_000, distributed=True)


class Program:
    """Writes the files of a program without any of its processes."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self._changes = 0

    def accept(self) -> None:
        (self.directory / "config.json").write_text("{}")

    def save(self, steps: int) -> None:
        (self.directory / "checkpoints" / str(steps)).mkdir(parents=True)

    def act(self, steps: int, episode_return: float = 1.0) -> None:
        self._write("actor", {"actor_steps": steps, "episode_return": episode_return})

    def learn(self, steps: int, seconds: float) -> None:
        self._write("starts", {"actor_steps": steps, "first_step_seconds": seconds})

    def evaluate(self, steps: int) -> None:
        row = {"actor_steps": steps, "episode_return": 0.5, "episode_return_stderr": 0.1}
        self._write("evaluation", {**row, "training_seconds": 9.0})

    def stop(self, steps: int) -> None:
        (self.directory / "ending.json").write_text(json.dumps({"actor_steps": steps}))

    def _write(self, name: str, row: dict[str, float]) -> None:
        path = self.directory / f"{name}.csv"
        Table(path, "actor_steps").write(row)
        # Tests write faster than clocks of file systems tick.
        self._changes += 1
        os.utime(path, ns=(self._changes, self._changes))


@pytest.fixture
def program(tmp_path: pathlib.Path) -> Program:
    return Program(tmp_path)


def test_a_program_starts_and_collects_and_compiles_and_learns_and_stops(program: Program) -> None:
    found = ProgramWatch(program.directory)
    (phase, steps, last_return), others = found.status(), []
    assert (phase, steps) == (STARTING, 0) and math.isnan(last_return)
    program.save(0)
    others.append(found.status().phase)
    program.act(100, -2.0)
    others.append(found.status())
    program.learn(0, 12.5)
    program.act(200, 3.0)
    others.append(found.status())
    program.stop(300)
    others.append(found.status().phase)
    assert others == [
        WAITING,
        ProgramStatus(WAITING, 100, -2.0),
        ProgramStatus(TRAINING, 200, 3.0),
        ENDING,
    ]
    assert "compiling" in WAITING


def test_a_resumed_program_starts_where_it_was(program: Program) -> None:
    program.save(500)
    program.act(510)
    program.learn(0, 12.5)
    found = ProgramWatch(program.directory)
    assert found.status() == ProgramStatus(STARTING, 510, 1.0)
    program.act(600)
    assert found.status().phase == WAITING
    program.learn(500, 3.5)
    assert found.status().phase == TRAINING
    # It is lost, and launched again.
    found.expect_launch()
    assert found.status().phase == STARTING


def test_without_episodes_the_checkpoint_tells_the_steps(program: Program) -> None:
    program.save(500)
    assert ProgramWatch(program.directory).status()[:2] == (STARTING, 500)


def test_tables_are_read_only_if_they_have_changed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for twice a second, and long runs have long tables."""
    reads, read = [], watch.tables.read
    monkeypatch.setattr(watch.tables, "read", lambda path: reads.append(path.name) or read(path))
    program.act(100)
    found = ProgramWatch(program.directory)
    for _ in range(5):
        found.status()
    assert reads == ["actor.csv"]
    program.act(200)
    assert found.status().actor_steps == 200
    assert reads == ["actor.csv"] * 2


def test_a_display_follows_a_program(
    program: Program, monkeypatch: pytest.MonkeyPatch, drawn: list[int]
) -> None:
    monkeypatch.setattr(placement, "foresee_devices", lambda devices: "2 x GPU")
    stream = io.StringIO()
    with Progress(1_000, stream) as progress:
        display = ProgramDisplay(CONFIG, program.directory, progress)
        # A program that is not accepted says so itself, and nothing else is printed.
        display.update()
        assert stream.getvalue() == ""
        program.accept()
        display.update()
        program.act(100)
        display.update()
        program.learn(0, 12.5)
        display.update()
        program.evaluate(200)
        display.update()
        display.update()
        display.note(Event("program", "failed", "lost; launching it again in 1 s"))
        display.update()
    start, *lines = stream.getvalue().splitlines()
    assert start == (
        "crossq in openspiel:kuhn_poker: 1,000 steps, a program with 1 actor, learner on 2 x GPU, directory "
        f"{program.directory}"
    )
    starting, waiting, evaluation, lost, again = lines
    assert (starting, waiting, again) == (STARTING, WAITING, STARTING)
    assert evaluation.split()[:4] == ["200", "steps", "return", "0.5000"]
    assert lost == "lost; launching it again in 1 s"
    assert drawn == [1]


def test_a_program_has_a_bar_of_its_own_in_a_terminal(program: Program, drawn: list[int]) -> None:
    stream = io.StringIO()
    program.accept()
    with Progress(1_000, stream, enabled_bar=True) as progress:
        display = ProgramDisplay(CONFIG, program.directory, progress)
        program.learn(0, 12.5)
        program.act(250, -0.5)
        display.update()
    assert "250/1000" in stream.getvalue()
    assert "last return -0.5000" in stream.getvalue()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the pictures that were renewed, which is not done as rarely as in runs."""
    from acme_psro.agent_runs import curve

    pictures: list[int] = []
    monkeypatch.setattr(curve, "_SECONDS_BETWEEN_PICTURES", 0.0)
    monkeypatch.setattr(curve, "write_curve", lambda path, title, rows: pictures.append(len(rows)))
    return pictures


def test_curves_are_not_drawn_for_every_evaluation_of_a_fast_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme_psro.agent_runs import curve

    now, pictures = [100.0], list[Any]()
    monkeypatch.setattr(curve.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(curve, "write_curve", lambda path, title, rows: pictures.append((now[0], len(rows))))
    program, found = Program(tmp_path), curve.CurveFile(CONFIG, tmp_path)
    assert not found.draw()
    for steps in range(1, 101):
        program.evaluate(steps)
        found.renew()
        now[0] += 1.0
    assert pictures == [(130.0, 31), (160.0, 61), (190.0, 91)]
