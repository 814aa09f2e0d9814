"""Tests of the configuration of a run of one agent."""

import dataclasses
import json
import math
from typing import Any

import pytest

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"agent": "dqn"}, ["no agent named 'dqn'", "crossq"]),
        ({"replay": "disk"}, ["no replay named 'disk'", "in_process", "reverb"]),
        ({"lp_launch_type": "test_mt"}, ["'test_mt'", "local_mt", "local_mp", "vertex_ai"]),
        ({"lp_launch_type": "vertex_ai"}, ["--lp_launch_type=vertex_ai", "add --distributed"]),
        (
            {"lp_launch_type": "vertex_ai", "distributed": True, "learner_devices": "0"},
            ["--learner_devices", "this machine", "--learner_accelerator"],
        ),
        ({"learner_accelerator": "K80"}, ["'K80'", "none, P100, V100, T4, A100"]),
        ({"learner_devices": "0;1"}, ["--learner_devices", "such as 0,1", "'0;1'"]),
        ({"plateau_patience": 1}, ["--plateau_patience must be 0, for none, or at least 2", "not 1"]),
        ({"plateau_patience": -2}, ["--plateau_patience must be 0, for none, or at least 2", "not -2"]),
        (
            {"plateau_patience": 2, "plateau_min_improvement": math.nan},
            ["--plateau_min_improvement", "at least 0", "nan"],
        ),
        ({"plateau_min_improvement": 0.1}, ["--plateau_min_improvement needs", "--plateau_patience"]),
        ({"plateau_patience": 2, "evaluation_episodes": 1}, ["--evaluation_episodes of at least 2"]),
        ({"actor_steps": 0}, ["--actor_steps", "at least 1", "not 0"]),
        ({"evaluate_every": -3}, ["--evaluate_every", "-3"]),
        ({"evaluation_episodes": 0}, ["--evaluation_episodes"]),
        ({"num_actors": 0}, ["--num_actors"]),
        ({"games_per_actor": 0}, ["--games_per_actor must be at least 1, not 0"]),
        ({"seed": -1}, ["--seed", "0 to 4294967295", "-1"]),
        ({"seed": 2**32}, ["--seed", str(2**32)]),
        ({"checkpoint_seconds": -1.0}, ["--checkpoint_seconds", "-1.0"]),
        ({"checkpoint_seconds": math.nan}, ["--checkpoint_seconds", "nan"]),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_line(changes: dict, named: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(CONFIG, **changes)
    message = str(caught.value)
    assert [name for name in named if name not in message] == []
    assert "\n" not in message


def test_the_bounds_themselves_are_allowed() -> None:
    config = dataclasses.replace(CONFIG, actor_steps=1, seed=2**32 - 1, checkpoint_seconds=0.0, num_actors=1)
    assert (config.seed, config.checkpoint_seconds) == (2**32 - 1, 0.0)


def test_a_plateau_is_what_patience_asks_for() -> None:
    assert CONFIG.plateau is None
    patient = dataclasses.replace(CONFIG, plateau_patience=3, plateau_min_improvement=0.5)
    assert patient.plateau == Plateau(3, 0.5)
    assert dataclasses.replace(CONFIG, plateau_patience=2).plateau == Plateau(2)


def test_a_configuration_survives_json() -> None:
    config = dataclasses.replace(
        CONFIG,
        agent_settings={"critic_hidden_sizes": [8, 8], "learning_rate": 0.1},
        replay_settings={"batch_size": 4},
        opponent="runs/leduc",
        distributed=True,
        plateau_patience=4,
        plateau_min_improvement=0.25,
        learner_devices="1,0",
    )
    assert AgentRunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_configuration_from_before_there_was_a_choice_is_read() -> None:
    data = CONFIG.to_json()
    for name in ("plateau_patience", "plateau_min_improvement", "learner_devices", "learner_accelerator"):
        data.pop(name, None)
    assert AgentRunConfig.from_json(data) == CONFIG


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        "crossq",
        {"agent": "crossq", "environment": "openspiel:kuhn_poker"},
        CONFIG.to_json() | {"colour": "red"},
    ],
)
def test_what_is_no_configuration_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"^config\.json does not describe a run of one agent\.$"):
        AgentRunConfig.from_json(data)  # type: ignore[arg-type]


def test_a_run_of_psro_is_named_as_one() -> None:
    with pytest.raises(ValueError, match=r"it is of run_psro, name a run of run_agent\.$"):
        AgentRunConfig.from_json({"game": "kuhn_poker", "oracle": "exact", "agent": "crossq"})


_PROGRAM = ("num_actors", "games_per_actor", "lp_launch_type", "replay_with_learner", "learner_accelerator")


@pytest.mark.parametrize(
    ("changes", "used", "unused"),
    [
        ({}, ("replay", "player", "opponent", "learner_devices"), (*_PROGRAM, "snapshots")),
        ({"distributed": True}, (*_PROGRAM[:-1], "snapshots"), ("replay", "learner_accelerator")),
        (
            {"distributed": True, "lp_launch_type": "local_mt"},
            _PROGRAM[:3],
            ("replay_with_learner", "learner_accelerator"),
        ),
        (
            {"distributed": True, "lp_launch_type": "vertex_ai"},
            ("learner_accelerator",),
            ("replay_with_learner",),
        ),
        (
            {"environment": "dm_control:cartpole:swingup", "distributed": True},
            ("num_actors",),
            ("games_per_actor", "player", "opponent", "snapshots"),
        ),
        ({"plateau_patience": 2}, ("plateau_min_improvement",), ()),
        ({"plateau_patience": 0}, (), ("plateau_min_improvement",)),
    ],
)
def test_only_settings_in_use_are_recorded(
    changes: dict[str, Any], used: tuple[str, ...], unused: tuple[str, ...]
) -> None:
    config = dataclasses.replace(AgentRunConfig("crossq", "openspiel:kuhn_poker", 10_000), **changes)
    assert set(used) <= set(config.to_json())
    assert not set(unused) & set(config.to_json())
    assert set(unused) <= set(config.unused())
    assert AgentRunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("value", "says"),
    [(math.nan, "must be a number"), (math.inf, "must be finite"), (-1.0, "must not be negative")],
)
def test_seconds_between_checkpoints_are_a_number(value: float, says: str) -> None:
    with pytest.raises(ValueError, match=f"--checkpoint_seconds {says}"):
        dataclasses.replace(CONFIG, checkpoint_seconds=value)


def test_users_settings_go_over_those_of_the_kind_of_environment() -> None:
    config = dataclasses.replace(
        CONFIG, agent_settings={"temperature": 7.0}, replay_settings={"batch_size": 3}
    )
    assert config.kind == "openspiel"
    assert config.agent_overrides() == CONFIG.agent_overrides() | {"temperature": 7.0}
    assert config.agent_overrides()["discount"] == 1.0
    assert config.replay_overrides() == CONFIG.replay_overrides() | {"batch_size": 3}
    control = dataclasses.replace(config, environment="dm_control:cartpole:swingup")
    assert control.kind == "control"
    assert control.agent_overrides() == {"temperature": 7.0}


@pytest.mark.parametrize(("samples_per_insert", "steps"), [(256.0, 1000), (64.0, 250), (0.1, 1), (1e-9, 1)])
def test_gradient_steps_are_samples_over_batch_size(samples_per_insert: float, steps: int) -> None:
    assert CONFIG.gradient_steps(256, samples_per_insert) == steps
