"""Seeds of NeuPL side by side: each is a run of its own, in one program with the others."""

import dataclasses
import pathlib
from typing import Any

import pytest

import acme_psro
from acme_psro.oracles.device.lanes import LaneProgram
from acme_psro.population_runs import seeds as side_by_side
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import configure
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.population_runs.seeds_test import assert_same_run

pytestmark = pytest.mark.usefixtures("quick_module")

# A budget that learns next to nothing, fast.
_NEUPL = {
    "population_size": 3,
    "rounds": 1,
    "num_envs": 16,
    "updates_per_round": 2,
    "batch_size": 16,
    "buffer_size": 200,
    "freezing": True,
}
_AGENT = {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)}


def _config(epochs: int = 2) -> PSROConfig:
    """Returns the configuration that `acme_psro.run` makes of the same arguments."""
    return configure(
        "kuhn_poker",
        loop="neupl",
        oracle="device",
        agent=None,
        preset=None,
        meta_solver=None,
        iterations=epochs,
        seed=3,
        tolerance=1e-7,
        payoffs="auto",
        max_nodes=None,
        device=None,
        launchpad=None,
        agent_settings=_AGENT,
        simulation=None,
        neupl=_NEUPL,
    )


def _run_seeds(root: pathlib.Path, config: PSROConfig, resume: bool = False) -> None:
    with side_by_side.opened_seeds(config, 2, root, resume, 0.0, pytest.fail) as runs:
        begun = side_by_side.begin_seeds(runs, pytest.fail)
        side_by_side.carry_out_seeds(begun, root, show_progress=False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Runs seeds 3 and 4, each alone."""
    root = tmp_path_factory.mktemp("seeds") / "alone"
    for seed in (3, 4):
        acme_psro.run(
            "kuhn_poker",
            loop="neupl",
            seed=seed,
            iterations=2,
            neupl=_NEUPL,
            agent_settings=_AGENT,
            output_dir=root / f"seed_{seed}",
            show_progress=False,
        )
    return root


@pytest.mark.slow
def test_seeds_directories_are_those_of_runs_alone_and_their_epochs_are_of_one_program(
    alone: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LaneProgram] = []
    call = LaneProgram.__call__

    def noting(self: LaneProgram, requests: Any) -> Any:
        made.append(self)
        return call(self, requests)

    monkeypatch.setattr(LaneProgram, "__call__", noting)
    _run_seeds(tmp_path, _config())
    assert len(made) == 4 and len(set(map(id, made))) == 1
    for seed in (3, 4):
        assert_same_run(tmp_path / f"seed_{seed}", alone / f"seed_{seed}")
    assert repr(untimed(tmp_path / "seed_3")) != repr(untimed(tmp_path / "seed_4"))
    assert "All 2 seeds are done." in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_seeds_of_members_go_on_where_they_were(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Learning rates do not fall, so that the number of epochs that are asked for does not matter."""
    _run_seeds(tmp_path, _config(epochs=1))
    _run_seeds(tmp_path, dataclasses.replace(_config(), iterations=2), resume=True)
    for seed in (3, 4):
        assert repr(untimed(tmp_path / f"seed_{seed}")) == repr(untimed(alone / f"seed_{seed}"))
