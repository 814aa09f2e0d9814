"""Tests of agents.crossq.config."""

import dataclasses
import math
from typing import Any

import pytest

from agents.crossq import CrossQConfig


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("critic_hidden_sizes", (64, 0)),
        ("policy_hidden_sizes", (-1,)),
        ("num_critics", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("final_learning_rate", -1e-4),
        ("adam_b1", 1.1),
        ("adam_b1", -0.1),
        ("adam_b2", 2.0),
        ("policy_delay", 0),
        ("discount", 1.01),
        ("discount", -0.5),
        ("q_reduction", "max"),
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("final_temperature", 0.0),
        ("horizon", 0),
        ("exploration", 1.5),
        ("exploration", math.nan),
        ("renorm_momentum", -0.1),
        ("renorm_momentum", 1.1),
        ("renorm_epsilon", 0.0),
        ("renorm_r_max", 0.9),
        ("renorm_d_max", -1.0),
        ("renorm_warmup", -1),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting: str, value: Any) -> None:
    named = "hidden sizes" if setting.endswith("hidden_sizes") else setting
    with pytest.raises(ValueError, match=named) as refusal:
        CrossQConfig(**{setting: value})
    assert "\n" not in str(refusal.value)


def test_an_unknown_reduction_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'max'.*min, mean"):
        CrossQConfig(q_reduction="max")


@pytest.mark.parametrize(
    "settings",
    [
        {"exploration": 0.0, "discount": 1.0, "adam_b1": 0.0, "renorm_momentum": 0.0},
        {"final_learning_rate": 0.0, "renorm_warmup": 0, "renorm_r_max": 1.0, "renorm_d_max": 0.0},
        {"critic_hidden_sizes": (), "policy_hidden_sizes": (), "num_critics": 1, "horizon": 1},
    ],
)
def test_limits_are_allowed(settings: dict[str, Any]) -> None:
    config = CrossQConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CrossQConfig().discount = 0.5  # type: ignore[misc]
