"""Tests of a program in the background, with a stand-in for the supervised processes."""

import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import background, launch
from acme_psro.agent_runs.neupl_program.background import BackgroundProgram
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.system.jobs import Event, JobError

Make = Callable[..., NeuPLProgramConfig]


def population(epoch: int) -> NeuPLPopulation:
    return NeuPLPopulation(epoch, {}, {}, np.zeros((2, 4, 4)), np.zeros((2, 4, 4)))


class Runs:
    """A stand-in for `launch.run` that makes an epoch when it may, and fails when it should."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Semaphore(0)
        self.error: BaseException | None = None
        self.ended_by: list[str] = []
        monkeypatch.setattr(launch, "run", self)
        monkeypatch.setattr(background, "_POLL_SECONDS", 0.01)

    def __call__(self, config: NeuPLProgramConfig, directory: Any, **calls: Any) -> NeuPLPopulation:
        calls["on_event"](Event("program", "started"))
        try:
            for epoch in range(1, config.epochs + 1):
                while not self.may_go_on.acquire(timeout=0.01):
                    calls["on_poll"]()
                    if self.error is not None:
                        raise self.error
                calls["on_epoch"](population(epoch))
            self.ended_by.append("end")
        except BaseException as error:
            self.ended_by.append(type(error).__name__)
            raise
        return population(config.epochs)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(monkeypatch)


def test_populations_are_waited_for(runs: Runs, small: Make, tmp_path: pathlib.Path) -> None:
    events: list[Event] = []
    with BackgroundProgram(small(epochs=3), tmp_path, events.append) as program:
        runs.may_go_on.release()
        assert program.wait_for(1).epoch == 1
        # The newest one is returned, without waiting.
        assert program.wait_for(1).epoch == 1
        threading.Timer(0.2, runs.may_go_on.release).start()
        began = time.monotonic()
        assert program.wait_for(2).epoch == 2
        assert time.monotonic() - began > 0.1
        runs.may_go_on.release()
        assert program.wait_for(3).epoch == 3
    assert [event.kind for event in events] == ["started"]
    assert runs.ended_by == ["end"]


def test_leaving_ends_the_program(runs: Runs, small: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt), BackgroundProgram(small(epochs=3), tmp_path) as program:
        runs.may_go_on.release()
        program.wait_for(1)
        raise KeyboardInterrupt
    assert runs.ended_by == ["_ClosedError"]


@pytest.mark.parametrize("error", [ValueError("refused"), JobError("program", "failed too often")])
def test_failures_are_raised_where_populations_are_waited_for(
    error: Exception, runs: Runs, small: Make, tmp_path: pathlib.Path
) -> None:
    with BackgroundProgram(small(epochs=3), tmp_path) as program:
        runs.may_go_on.release()
        assert program.wait_for(1).epoch == 1
        runs.error = error
        with pytest.raises(type(error), match=str(error)):
            program.wait_for(2)


def test_an_epoch_after_the_last_is_refused(runs: Runs, small: Make, tmp_path: pathlib.Path) -> None:
    program = BackgroundProgram(small(epochs=3), tmp_path)
    with program, pytest.raises(ValueError, match="ends after epoch 3, before epoch 4"):
        program.wait_for(4)
