"""Tests of the launch of NeuPL's program: the command, the end, and populations as they appear."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.neupl_program import launch, population_files
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.system.jobs import Event, Job

Make = Callable[..., NeuPLProgramConfig]


def population(epoch: int, graph: np.ndarray) -> NeuPLPopulation:
    return NeuPLPopulation(epoch, {"game": "kuhn_poker()"}, {"w": np.ones(2)}, graph, np.zeros((2, 4, 4)))


def finish(directory: pathlib.Path) -> None:
    run_directory.write_ending(directory, {"actor_steps": 1.0})
    run_directory.finish(directory)


def test_the_child_is_told_the_whole_configuration(small: Make, tmp_path: pathlib.Path) -> None:
    config = small(learner_devices="")
    job = launch.make_job(config, tmp_path)
    *_, told, directory = job.command
    assert NeuPLProgramConfig.from_json(json.loads(told)) == config
    assert directory == str(tmp_path)


def test_a_program_is_done_after_its_last_epoch(
    small: Make, tmp_path: pathlib.Path, graph: np.ndarray
) -> None:
    config = small(epochs=2)
    assert not launch.is_done(config, tmp_path)
    population_files.write(tmp_path, population(2, graph))
    assert not launch.is_done(config, tmp_path)
    finish(tmp_path)
    assert launch.is_done(config, tmp_path)
    # It goes on if it is given more epochs.
    assert not launch.is_done(dataclasses.replace(config, epochs=3), tmp_path)


def test_each_new_population_is_seen_once(
    small: Make, tmp_path: pathlib.Path, graph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, seen = small(epochs=3), list[int]()

    def run_all(jobs: list[Job], *, on_poll: Callable[[], None], **_: object) -> None:
        on_poll()
        (tmp_path / "run").mkdir()
        for epoch in (1, 2, 2):
            population_files.write(tmp_path / "run", population(epoch, graph))
            on_poll()
            on_poll()
        # The last one is written right before the end.
        population_files.write(tmp_path / "run", population(3, graph))

    monkeypatch.setattr(launch, "run_all", run_all)
    last = launch.run(config, tmp_path / "run", on_epoch=lambda found: seen.append(found.epoch))
    assert seen == [1, 2, 3]
    assert last.epoch == 3


def test_a_finished_program_is_not_started_again(
    small: Make, tmp_path: pathlib.Path, graph: np.ndarray
) -> None:
    population_files.write(tmp_path, population(2, graph))
    finish(tmp_path)
    events: list[Event] = []
    assert launch.run(small(epochs=2), tmp_path, on_event=events.append).epoch == 2
    assert events == []


def test_progress_is_a_checkpoint_of_either_node(small: Make, tmp_path: pathlib.Path) -> None:
    job = launch.make_job(small(), tmp_path)
    landmarks = [job.landmark()]
    (tmp_path / "graph.npz").touch()
    landmarks.append(job.landmark())
    (tmp_path / "checkpoints" / "120").mkdir(parents=True)
    landmarks.append(job.landmark())
    assert len(set(landmarks)) == 3


def test_what_a_program_cannot_be_built_from_is_refused(small: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"^unknown game 'kuhn_pokr': did you mean kuhn_poker"):
        launch.run(small(game="kuhn_pokr"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
