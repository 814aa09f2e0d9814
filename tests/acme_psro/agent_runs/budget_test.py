"""Tests that a run which would learn nothing is refused."""

import dataclasses
import math
from typing import Any

import pytest

from acme_psro.agent_runs.budget import check_budget
from acme_psro.agent_runs.config import AgentRunConfig

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000)
REPLAY = {
    "min_replay_size": 1000,
    "batch_size": 100,
    "gradient_steps_per_learner_step": 4,
    "samples_per_insert": 1.0,
    "samples_per_insert_tolerance_rate": 0.1,
}


@pytest.mark.parametrize(
    ("changes", "replay"),
    [
        ({}, {}),
        ({}, {"batch_size": 250, "samples_per_insert": 0.1}),
        ({"actor_steps": 1001, "distributed": True}, {}),
        ({"actor_steps": 1001, "distributed": True}, {"batch_size": 275}),
        (
            {"actor_steps": 1001, "distributed": True},
            {"batch_size": 10_000, "samples_per_insert_tolerance_rate": math.inf},
        ),
        (
            {"actor_steps": 1, "distributed": True},
            {"min_replay_size": 1, "batch_size": 1, "samples_per_insert": 4.0},
        ),
    ],
)
def test_runs_that_learn_are_allowed(changes: dict[str, Any], replay: dict[str, float]) -> None:
    check_budget(dataclasses.replace(CONFIG, **changes), REPLAY | replay)


@pytest.mark.parametrize(
    ("changes", "replay", "says"),
    [
        ({"actor_steps": 999}, {}, "learning begins after 1,000 decisions, and --steps=999 makes 999"),
        ({"distributed": True}, {}, "learning begins after 1,000 decisions, and --steps=1000 makes 1,000"),
        ({}, {"batch_size": 251}, "first step needs 1,004 samples, and --steps=1000 allows 1,000"),
        (
            {"actor_steps": 1001, "distributed": True},
            {"batch_size": 276},
            "first step needs 1,104 samples, and --steps=1001 allows 1,001",
        ),
        (
            {"actor_steps": 1001, "distributed": True},
            {"samples_per_insert": 0.3},
            "first step needs 400 samples, and --steps=1001 allows 300",
        ),
    ],
)
def test_runs_that_learn_nothing_are_refused(
    changes: dict[str, Any], replay: dict[str, float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        check_budget(dataclasses.replace(CONFIG, **changes), REPLAY | replay, "steps")


def test_settings_that_are_not_known_do_not_limit_a_run() -> None:
    check_budget(CONFIG, {})
    with pytest.raises(ValueError, match="learning begins after 2,000 decisions"):
        check_budget(CONFIG, CONFIG.replay_overrides())
