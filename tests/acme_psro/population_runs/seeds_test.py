"""Tests of acme_psro.population_runs.seeds: each seed is a run of its own, whoever runs beside it."""

import dataclasses
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import acme_psro
from acme_psro.oracles.device.lanes import LaneProgram
from acme_psro.population_runs import seeds as side_by_side
from acme_psro.population_runs import train
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import configure
from acme_psro.population_runs.events import IterationEnded
from acme_psro.population_runs.overview import Overview
from acme_psro.population_runs.recording import MetricsWriter
from acme_psro.storage import checkpoint
from acme_psro.storage.run_config import read_config
from acme_psro.system import surroundings
from acme_psro.system.lock import locked
from tests.acme_psro.population_runs.fakes import untimed

pytestmark = pytest.mark.usefixtures("quick_module")

# Budgets that learn next to nothing, fast: once playing while learning, once with games that are kept. Some
# responses are weak, so that runs ask for different numbers of trainings.
_PLAYING = {"gradient_steps": 20, "num_envs": 32, "batch_size": 32, "buffer_size": 1000, "enough": 0.9}
_KEEPING = {"gradient_steps": 40, "games_per_response": 20, "max_games_per_response": 200, "batch_size": 64}
_AGENT = {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)}
_LOOPS = {"psro": _PLAYING, "xdo": _KEEPING}


def _config(loop: str, iterations: int = 3, seed: int = 3) -> PSROConfig:
    """Returns the configuration that `acme_psro.run` makes of the same arguments."""
    return configure(
        "kuhn_poker",
        loop=loop,
        oracle="device",
        agent=None,
        preset=None,
        meta_solver=None,
        iterations=iterations,
        seed=seed,
        tolerance=1e-7,
        payoffs="auto",
        max_nodes=None,
        device=_LOOPS[loop],
        launchpad=None,
        agent_settings=_AGENT,
        simulation=None,
        neupl=None,
    )


def _run_seeds(root: pathlib.Path, config: PSROConfig, num_seeds: int = 2, resume: bool = False) -> Overview:
    with side_by_side.opened_seeds(config, num_seeds, root, resume, 0.0, pytest.fail) as runs:
        begun = side_by_side.begin_seeds(runs, pytest.fail)
        return side_by_side.carry_out_seeds(begun, root, show_progress=False)


def _run_one(directory: pathlib.Path, config: PSROConfig, resume: bool = False) -> Any:
    return acme_psro.run(
        config.game,
        loop=config.loop,
        seed=config.seed,
        iterations=config.iterations,
        device=_LOOPS[config.loop],
        agent_settings=_AGENT,
        output_dir=directory,
        resume=resume,
        show_progress=False,
    )


# Both loops take the same way through the code of several seeds; XDO's games are kept besides.
_PARAMS = {loop: pytest.param(loop, marks=pytest.mark.slow if loop == "xdo" else ()) for loop in _LOOPS}


@pytest.fixture(scope="module", params=list(_PARAMS.values()))
def both(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path, str]:
    """Runs seeds 3 and 4 side by side, and each alone; returns both directories and the loop."""
    together, alone = (tmp_path_factory.mktemp("seeds") / name for name in ("together", "alone"))
    config = _config(request.param)
    _run_seeds(together, config)
    for seed in (3, 4):
        _run_one(alone / f"seed_{seed}", dataclasses.replace(config, seed=seed))
    return together, alone, request.param


_played, _kept = (pytest.mark.parametrize("both", [_PARAMS[loop]], indirect=True) for loop in _LOOPS)


def _names(directory: pathlib.Path) -> set[str]:
    """Returns all files below a directory; those of TensorBoard have times in their names."""
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return {re.sub(r"tfevents\..*", "tfevents", name) for name in found}


def assert_same_run(left: pathlib.Path, right: pathlib.Path) -> None:
    assert _names(left) == _names(right)
    assert repr(untimed(left)) == repr(untimed(right))
    for path in sorted((left / "checkpoints" / "policies").iterdir()):
        assert path.read_bytes() == (right / "checkpoints" / "policies" / path.name).read_bytes()
    one, other = (acme_psro.load_run(directory) for directory in (left, right))
    np.testing.assert_array_equal(one.payoffs, other.payoffs)
    records = [run._run.record for run in (one, other)]
    metrics = [[response.metrics for response in record.state.responses] for record in records]
    assert repr(metrics[0]) == repr(metrics[1])
    assert records[0].memory.keys() == records[1].memory.keys()
    for name, values in records[0].memory.items():
        np.testing.assert_array_equal(values, records[1].memory[name])


@pytest.mark.long
@pytest.mark.parametrize("seed", [3, 4])
def test_a_seeds_directory_is_that_of_a_run_alone(both: Any, seed: int) -> None:
    together, alone, _ = both
    assert_same_run(together / f"seed_{seed}", alone / f"seed_{seed}")
    configs = [read_config(root / f"seed_{seed}" / "config.json") for root in (together, alone)]
    for config in configs:
        # How runs were made tells them apart if something is committed in between.
        assert len(config.pop(surroundings.KEY)) == 1
    assert configs[0] == configs[1]


def test_seeds_differ_from_each_other(both: Any) -> None:
    together, _, _ = both
    first, second = (untimed(together / f"seed_{seed}") for seed in (3, 4))
    assert repr(first) != repr(second)


def test_there_is_one_report_for_all_and_nothing_else_beside_the_seeds(both: Any) -> None:
    together, _, _ = both
    assert {path.name for path in together.iterdir()} == {"report.html", "seed_3", "seed_4"}
    page = (together / "report.html").read_text()
    assert "All 2 seeds are done." in page
    assert page.count("</svg>") == 3
    assert all(f'href="seed_{seed}/report.html"' in page for seed in (3, 4))


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Returns a function that makes the next run of a seed fail once an iteration is stored."""

    def interrupt(seed: int, iteration: int) -> None:
        class Interrupting(MetricsWriter):
            def on_iteration(self, event: IterationEnded) -> None:
                super().on_iteration(event)
                if event.run_dir.name == f"seed_{seed}" and event.iteration == iteration:
                    monkeypatch.undo()
                    raise KeyboardInterrupt

        monkeypatch.setattr(train, "MetricsWriter", Interrupting)

    return interrupt


@_kept
def test_all_seeds_are_resumed_where_they_were(
    both: Any, tmp_path: pathlib.Path, interrupt: Callable[[int, int], None]
) -> None:
    _, alone, loop = both
    interrupt(4, 1)
    with pytest.raises(KeyboardInterrupt):
        _run_seeds(tmp_path, _config(loop))
    assert "Stopped: 0 of 2 seeds are done" in (tmp_path / "report.html").read_text()
    for seed in (3, 4):
        assert checkpoint.exists(tmp_path / f"seed_{seed}" / "checkpoints")
    _run_seeds(tmp_path, _config(loop), resume=True)
    for seed in (3, 4):
        assert repr(untimed(tmp_path / f"seed_{seed}")) == repr(untimed(alone / f"seed_{seed}"))


@_kept
def test_one_seed_is_resumed_alone_and_all_go_on_from_there(both: Any, tmp_path: pathlib.Path) -> None:
    _, alone, loop = both
    _run_seeds(tmp_path, _config(loop, iterations=1))
    _run_one(tmp_path / "seed_4", _config(loop, seed=4), resume=True)
    assert repr(untimed(tmp_path / "seed_4")) == repr(untimed(alone / "seed_4"))
    # One seed goes on, one has ended, and one that is new begins.
    _run_seeds(tmp_path, _config(loop), num_seeds=3, resume=True)
    for seed in (3, 4):
        assert repr(untimed(tmp_path / f"seed_{seed}")) == repr(untimed(alone / f"seed_{seed}"))
    assert untimed(tmp_path / "seed_5")[-1]["iteration"] == 3


@_played
@pytest.mark.slow
def test_lanes_of_all_seeds_in_one_call_give_the_same_runs(
    both: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an accelerator: lanes are vmapped over runs, and places of runs that have ended are padded."""
    _, alone, loop = both
    make, calls = LaneProgram.__init__, []

    def wide(self: LaneProgram, function: Any, devices: Any, *_: int) -> None:
        make(self, function, devices, 3, 1)

    def count(self: LaneProgram, requests: Any) -> Any:
        calls.append(len(requests))
        return called(self, requests)

    called = LaneProgram.__call__
    monkeypatch.setattr(LaneProgram, "__init__", wide)
    monkeypatch.setattr(LaneProgram, "__call__", count)
    _run_seeds(tmp_path, _config(loop))
    assert calls[0] == 2
    for seed in (3, 4):
        assert_same_run(tmp_path / f"seed_{seed}", alone / f"seed_{seed}")


@pytest.mark.parametrize(
    ("changes", "num_seeds", "said"),
    [
        ({}, 0, "--num_seeds must be at least 1, not 0"),
        ({}, -2, "--num_seeds must be at least 1, not -2"),
        ({"oracle": "exact", "device": {}}, 2, "exact responses are the same for every seed"),
        ({"oracle": "launchpad", "device": {}}, 2, "start a command for each --seed"),
    ],
)
def test_what_cannot_run_side_by_side_is_refused(
    changes: dict[str, Any], num_seeds: int, said: str, tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(_config("psro"), **changes)
    opening = side_by_side.opened_seeds(config, num_seeds, tmp_path / "new", False, 0.0, pytest.fail)
    with pytest.raises(ValueError, match=said), opening:
        pass
    assert not (tmp_path / "new").exists()


@_kept
def test_runs_that_have_begun_are_not_begun_again(both: Any) -> None:
    together, _, loop = both
    opening = side_by_side.opened_seeds(_config(loop), 2, together, False, 0.0, pytest.fail)
    with pytest.raises(ValueError, match="seed_3 holds this run already: add --resume"), opening:
        pass


@_kept
def test_a_seed_that_another_process_works_at_is_left_alone(both: Any) -> None:
    together, _, loop = both
    opening = side_by_side.opened_seeds(_config(loop), 2, together, True, 0.0, pytest.fail)
    with (
        locked(together / "seed_4"),
        pytest.raises(ValueError, match=r"another process is at work in .*seed_4"),
        opening,
    ):
        pass
