"""Tests of agents.crossq.config: checks of the configuration, and its presets."""

import dataclasses
import math
from typing import Any

import pytest

from agents.crossq import PRESETS, CrossQConfig


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
        ("reward_scale", 0.0),
        ("reward_scale", -1.0),
        ("reward_scale", math.nan),
        ("q_reduction", "max"),
        ("normalisation", "layer_norm"),
        ("target_entropy", math.nan),
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


def test_an_unknown_normalisation_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'layer_norm'.*batch_renorm, batch_norm"):
        CrossQConfig(normalisation="layer_norm")


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


# Numbers from Bhatt et al. 2024, table 3, and from the authors' code.
_PUBLISHED: dict[str, Any] = {
    "critic_hidden_sizes": (2048, 2048),
    "policy_hidden_sizes": (256, 256),
    "num_critics": 2,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-3,
    "adam_b1": 0.5,
    "adam_b2": 0.999,
    "policy_delay": 3,
    "discount": 0.99,
    "reward_scale": 1.0,
    "q_reduction": "min",
    "critic_entropy": True,
    "temperature": 1.0,
    "learn_temperature": True,
    "target_entropy": -1.0,
    "exploration": 0.0,
    "normalisation": "batch_renorm",
    "normalise_inputs": True,
    "renorm_momentum": 0.99,
    "renorm_epsilon": 1e-3,
    "renorm_r_max": 3.0,
    "renorm_d_max": 5.0,
    "renorm_warmup": 100_000,
    "weight_norm": False,
}


@pytest.mark.parametrize(
    ("name", "widths"), [("paper", (2048, 2048)), ("sbx", (1024, 1024)), ("default", (256, 256))]
)
def test_presets_for_control_are_the_published_ones_but_for_their_width(
    name: str, widths: tuple[int, ...]
) -> None:
    expected = {**_PUBLISHED, "critic_hidden_sizes": widths}
    assert {setting: getattr(PRESETS[name], setting) for setting in expected} == expected


def test_the_default_preset_is_what_no_arguments_give() -> None:
    assert PRESETS["default"] == CrossQConfig()


def test_the_preset_for_games_is_a_hard_best_response_in_the_end() -> None:
    changed = {
        "critic_hidden_sizes": (64, 64),
        "policy_hidden_sizes": (64, 64),
        "q_reduction": "mean",
        "critic_entropy": False,
        "temperature": 0.1,
        "learn_temperature": False,
        "final_temperature": 0.001,
        "exploration": 0.1,
        "normalise_inputs": False,
    }
    expected = {**_PUBLISHED, **changed}
    assert {setting: getattr(PRESETS["games"], setting) for setting in expected} == expected


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_can_be_changed_and_are_checked_again(name: str) -> None:
    assert dataclasses.replace(PRESETS[name], discount=0.5).discount == 0.5
    with pytest.raises(ValueError, match="discount"):
        dataclasses.replace(PRESETS[name], discount=1.5)
