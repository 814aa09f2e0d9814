"""Runs of NeuPL-JPSRO on the device: figures, resumption, evaluation, export, report and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acme_psro
from acme_psro.commands import evaluate
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.result import Result, load_run
from acme_psro.storage import run_directory

pytestmark = pytest.mark.usefixtures("quick_module")

GAME = "kuhn_poker(players=3)"
_TINY: dict[str, Any] = {
    "device": {
        "gradient_steps": 20,
        "num_envs": 64,
        "batch_size": 64,
        "buffer_size": 1000,
        "max_extensions": 0,
        "snapshots": 2,
    },
    "neupl": {"gradient_steps": 100, "batch_size": 128},
    "agent_settings": {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)},
}


def _run(directory: Path, iterations: int, **options: Any) -> Result:
    given = {**_TINY, "loop": "neupl_jpsro", "oracle": "device", **options}
    return acme_psro.run(GAME, iterations=iterations, output_dir=directory, show_progress=False, **given)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return _run(tmp_path_factory.mktemp("distilling") / "run", 2)


def test_metrics_tell_what_the_network_loses(finished: Result) -> None:
    assert finished.config["agent"] == "conditional_mpo"
    assert finished.config["meta_solver"] == "max_gini_cce"
    last = finished.metrics[-1]
    for name in ("cce_gap", "ce_gap", "welfare", "nash_conv", "distillation_gap", "distillation_kl"):
        assert np.isfinite(last[name]), name
    assert last["kept_kl"] < 0.1 and last["different_0"] <= last["population_0"]


@pytest.mark.slow
@pytest.mark.parametrize("warm_start", ["none", "population"])
def test_a_resumed_run_is_the_run_itself(warm_start: str, tmp_path: Path) -> None:
    finished = _run(tmp_path / "whole", 3, warm_start=warm_start)
    _run(tmp_path / "run", 2, warm_start=warm_start)
    resumed = _run(tmp_path / "run", 3, warm_start=warm_start, resume=True)
    timed = ("wall_seconds", "iteration_seconds")
    for ours, theirs in zip(resumed.metrics, finished.metrics, strict=True):
        for name in ours:
            assert name in timed or ours[name] == pytest.approx(theirs[name], abs=0, nan_ok=True), name
    for player, size in enumerate(finished.population_sizes):
        one, other = (
            run_directory.read(each.run_dir).record.state.populations[player] for each in (resumed, finished)
        )
        for index in range(size):
            np.testing.assert_array_equal(one[index].table, other[index].table)


def test_it_is_evaluated_and_exported_as_a_joint_distribution(finished: Result) -> None:
    told = evaluate.describe(run_directory.read(finished.run_dir))
    for name in ("cce_gap", "ce_gap", "welfare", "nash_conv"):
        assert told[name] == pytest.approx(finished.metrics[-1][name], abs=1e-9)
    assert told["loop"] == "neupl_jpsro"
    assert isinstance(load_run(finished.run_dir).meta_strategy, JointStrategy)
    assert finished.member(2, 1).action_probabilities is not None


def test_the_report_draws_what_distillation_loses(finished: Result) -> None:
    page = (finished.run_dir / "report.html").read_text()
    for heading in ("Loss by distillation", "KL of the members", "Different policies", "CCE gap"):
        assert heading in page


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"oracle": "exact", **dict.fromkeys(_TINY)}, r"needs oracle=.device., not exact"),
        ({"agent": "crossq"}, "told which member it is: use agent=.conditional_mpo., not crossq"),
        ({"meta_solver": "max_gini_ce"}, r"one response a player.*use one of .*max_gini_cce.*or loop=.jpsro"),
        ({"meta_solver": "nash"}, "nash returns marginals, and loop=.neupl_jpsro. needs a joint"),
        ({"neupl": {"population_size": 8}}, "population_size"),
        ({"neupl": {"keeping": -1.0}}, "keeping must not be negative"),
        ({"agent_settings": {"num_members": 4}}, "num_members follows from loop=.neupl_jpsro.: leave it out"),
        ({"symmetric": True}, "symmetric"),
        ({"max_nodes": 10}, "loop=.neupl_jpsro. needs a game that compiles"),
    ],
)
def test_bad_input(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        _run(tmp_path / "run", 2, **options)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_programs_are_refused() -> None:
    with pytest.raises(ValueError, match="it needs --oracle=device, not launchpad"):
        PSROConfig(
            GAME,
            oracle="launchpad",
            agent="conditional_mpo",
            loop="neupl_jpsro",
            meta_solver="max_gini_cce",
            payoffs="exact",
        )


def test_other_runs_have_no_settings_of_a_distillation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neupl needs loop.*neupl_jpsro"):
        _run(tmp_path / "run", 2, loop="jpsro", neupl={"keeping": 2.0})
