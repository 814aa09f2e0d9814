"""Tests of what programs on Ray refuse, each in one line and before anything starts."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

import acme_psro
from acme_psro.agent_runs import program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.ray_program import child, nodes
from acme_psro.oracles.launchpad.config import LaunchpadConfig
from acme_psro.population_runs.configure import complete
from acme_psro.system.executors.placing import Placing

MakeConfig = Callable[..., AgentRunConfig]
_QUEUE = {"queue": True, "samples_per_insert": 1.0, "min_replay_size": 16}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": "gymnasium:Pendulum-v1"}, "--program=ray plays games .*, not gymnasium:Pendulum-v1"),
        ({"replay_settings": {"n_step": 5}}, "the replay's n_step must be 1, not 5"),
        ({"replay_settings": {"sequence_length": 4}}, "the replay's sequence_length must be 1, not 4"),
        ({"replay_settings": _QUEUE}, "--agent=crossq learns from a queue, for which it needs"),
        ({"agent_settings": {"critic_hidden_sizes": [0]}}, "hidden sizes must be above 0, not 0"),
        ({"environment": "openspiel:kuhn_pokker"}, "kuhn_pokker"),
    ],
)
def test_runs_that_ray_cannot_carry_out_are_refused(
    changes: dict[str, Any], message: str, small: MakeConfig
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        child.check(small(distributed=True, **changes))
    assert "\n" not in str(caught.value)


def test_a_cluster_without_room_is_refused() -> None:
    learner = {"CPU": 2.0, "GPU": 1.0}
    with pytest.raises(ValueError, match="a learner and 3 actors needs 5 CPUs"):
        nodes._check_room([learner, *[{"CPU": 1.0}] * 3], {"CPU": 4.0, "GPU": 1.0})
    with pytest.raises(ValueError, match="needs 1 GPUs, and the Ray cluster has 0"):
        nodes._check_room([learner], {"CPU": 4.0})
    nodes._check_room([learner, {"CPU": 1.0}], {"CPU": 3.0, "GPU": 1.0})


def test_programs_without_ray_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name == "ray" else found(name)

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(ValueError, match=r"program='ray' needs Ray, .*: pip install .acme-psro\[cluster\]"):
        acme_psro.run("kuhn_poker", oracle="program", launchpad={"program": "ray"}, iterations=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"oracle": "launchpad", "launchpad": {"program": "ray"}}, "program='ray' needs oracle='program'"),
        ({"oracle": "program", "launchpad": {"program": "slurm"}}, "must be launchpad or ray, not 'slurm'"),
        ({"oracle": "device", "launchpad": {"program": "ray"}}, "launchpad needs"),
        (
            {"oracle": "program", "loop": "neupl", "launchpad": {"program": "ray"}},
            "program='ray' needs loop='psro'",
        ),
    ],
)
def test_kinds_of_programs_are_checked(
    arguments: dict[str, Any], message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=message):
        acme_psro.run("kuhn_poker", output_dir=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_threads_of_launchpad_are_not_for_ray() -> None:
    with pytest.raises(ValueError, match="--lp_launch_type needs --program=launchpad"):
        LaunchpadConfig(program="ray", lp_launch_type="local_mt")


def test_old_names_stay() -> None:
    """The oracle of programs is stored under its old name, and runs of Launchpad look as they did."""

    def configured(oracle: str, launchpad: dict[str, Any]) -> dict[str, Any]:
        return complete(
            "kuhn_poker",
            loop="psro",
            oracle=oracle,
            agent="crossq",
            preset=None,
            meta_solver=None,
            iterations=1,
            seed=0,
            tolerance=1e-7,
            payoffs="exact",
            max_nodes=1000,
            device={},
            launchpad=launchpad,
            agent_settings={},
            simulation={},
            neupl={},
        ).to_json()

    assert configured("program", {}) == configured("launchpad", {})
    assert configured("program", {"program": "ray"})["launchpad"]["program"] == "ray"


def test_the_driver_of_a_program_is_a_job_of_this_machine(small: MakeConfig, tmp_path: pathlib.Path) -> None:
    config = small(distributed=True)
    placing = Placing("ray", "10.0.0.1:6379")
    job, usual = program_jobs.make_ray_job(placing, config, tmp_path), program_jobs.make_job(config, tmp_path)
    assert job.command[2] == "acme_psro.agent_runs.ray_program.child"
    assert "10.0.0.1:6379" in job.command[-1]
    assert dataclasses.replace(job, command=usual.command).environment == usual.environment
