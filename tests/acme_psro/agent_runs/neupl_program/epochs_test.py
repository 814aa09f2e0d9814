"""Tests of epochs that are waited for, with a stand-in for the program's processes."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import background, launch
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.epochs import Epochs
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.neupl.history import read_history
from acme_psro.neupl.values import estimated_values
from acme_psro.oracles.base import Counts
from acme_psro.system.jobs import Event

Make = Callable[..., NeuPLProgramConfig]
MakeEpochs = Callable[[int], Epochs]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, small: Make, graph: np.ndarray) -> MakeEpochs:
    """`(epochs) -> Epochs` of a program that makes all of them at once."""
    monkeypatch.setattr(background, "_POLL_SECONDS", 0.01)

    def run(config: NeuPLProgramConfig, directory: pathlib.Path, **calls: Any) -> None:
        calls["on_event"](Event("program", "started"))
        num = config.epochs
        counts = Counts(10 * num, 20 * num, 3 * num)
        calls["on_epoch"](NeuPLPopulation(num, {}, {}, graph, np.zeros((2, 4, 4)), counts))

    monkeypatch.setattr(launch, "run", run)
    return lambda epochs: Epochs(small(epochs=epochs), pathlib.Path("unused"))


def test_the_program_starts_with_the_first_call(make: MakeEpochs, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    epochs = make(2)
    monkeypatch.setattr(epochs, "_on_event", lambda event: events.append(event.kind))
    assert events == []
    population, counts = epochs.advance()
    assert (population.epoch, counts) == (2, Counts(20, 40, 6))
    assert events == ["started"]
    # After the last epoch, nothing is done any more.
    population, counts = epochs.advance()
    assert (population.epoch, counts) == (2, Counts())
    epochs.close()
    epochs.close()


def test_work_is_counted_from_what_is_remembered(make: MakeEpochs) -> None:
    epochs = make(2)
    assert epochs.memory()["epoch"] == 0
    epochs.advance()
    memory = epochs.memory()
    epochs.close()
    later = make(3)
    later.remember(memory)
    assert later.advance().counts == Counts(10, 20, 3)
    assert later.memory()["epoch"] == 3
    later.close()
    # Work that a killed program lost is not counted as less than nothing.
    behind = make(1)
    behind.remember(memory)
    assert behind.advance().counts == Counts()
    behind.close()


def test_graphs_are_remembered(make: MakeEpochs, graph: np.ndarray) -> None:
    epochs = make(2)
    epochs.record(graph, estimated_values(graph, np.zeros((2, 4, 4))))
    later = make(3)
    later.remember(epochs.memory())
    later.record(graph[::-1], estimated_values(graph, np.zeros((2, 4, 4))))
    found = read_history(later.memory())
    assert found is not None
    np.testing.assert_array_equal(found.epochs, [1, 2])
    np.testing.assert_array_equal(found.graphs, np.stack([graph, graph[::-1]]).astype(np.float32))
    # Runs of earlier versions have no history.
    later.remember({name: epochs.memory()[name] for name in ("epoch", "counts")})
    assert read_history(later.memory()) is not None


def test_other_memories_are_refused(make: MakeEpochs) -> None:
    epochs = make(2)
    epochs.remember({})
    with pytest.raises(ValueError, match="did not learn by NeuPL's program"):
        epochs.remember({"leaf_0": np.zeros(3)})
