"""Tasks of programs: valid budgets, directories that follow from keys, and files that may be removed."""

import math
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.oracles.launchpad.tasks import LaunchpadConfig, task_directory, tidy_tasks

KEY = np.array([7, 0xABC], np.uint32)


@pytest.mark.parametrize(
    "name", ["actor_steps", "actors_per_response", "games_per_actor", "max_parallel_programs"]
)
def test_refuses_budgets_of_nothing(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        LaunchpadConfig(**{name: 0})


def test_unknown_launch_types_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no lp_launch_type named 'vertex'; there are local_mp, local_mt"):
        LaunchpadConfig(lp_launch_type="vertex")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plateau_patience", 1),
        ("plateau_patience", -2),
        ("plateau_min_improvement", -0.1),
        ("plateau_min_improvement", math.inf),
        ("plateau_min_improvement", math.nan),
        ("learner_devices", "0,"),
        ("learner_devices", "0, 1"),
        ("learner_devices", "gpu0"),
        ("learner_devices", "-1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be") as refusal:
        LaunchpadConfig(**{name: value})
    assert str(value) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("plateau_patience", 0), ("plateau_patience", 2), ("learner_devices", ""), ("learner_devices", "0,1,0")],
)
def test_limits_are_allowed(name: str, value: Any) -> None:
    assert getattr(LaunchpadConfig(**{name: value}), name) == value


def test_tidying_leaves_what_was_found_and_other_tasks_alone(tmp_path: pathlib.Path) -> None:
    later = KEY + np.uint32(1)
    for key in (KEY, later):
        place = task_directory(tmp_path, key, 0)
        for name in (
            "opponents/mixture.json",
            "opponents/policies/player_1_00000.npz",
            "run/checkpoints/100/state/data",
            "run/policy.npz",
            "run/finished.json",
            "run/learner.csv",
        ):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).touch()
    # Player 1 had nothing to learn.
    tidy_tasks(tmp_path, KEY, 2)
    tidy_tasks(tmp_path, KEY, 2)
    place = task_directory(tmp_path, KEY, 0)
    assert sorted(path.name for path in place.rglob("*")) == [
        "finished.json",
        "learner.csv",
        "policy.npz",
        "run",
    ]
    assert len([path for path in task_directory(tmp_path, later, 0).rglob("*") if path.is_file()]) == 6
