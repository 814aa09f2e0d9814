"""Tests of agents.conditional_mpo.config: checks of the configuration, and its presets."""

import dataclasses
import math
from typing import Any

import pytest

from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.presets import PRESETS


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("policy_hidden_sizes", (64, 0)),
        ("critic_hidden_sizes", (-1,)),
        ("num_members", -1),
        ("embedding_size", 0),
        ("mixture_size", -1),
        ("epsilon", 0.0),
        ("epsilon_penalty", 0.0),
        ("epsilon_mean", -0.1),
        ("epsilon_deviation", 0.0),
        ("epsilon_policy", math.nan),
        ("temperature", 0.0),
        ("penalty_temperature", -1.0),
        ("alpha_mean", 0.0),
        ("alpha_deviation", math.nan),
        ("alpha_policy", 0.0),
        ("num_samples", 0),
        ("num_value_samples", 0),
        ("learning_rate", 0.0),
        ("final_learning_rate", -1e-4),
        ("final_learning_rate", math.nan),
        ("dual_learning_rate", 0.0),
        ("horizon", 0),
        ("adam_b1", 1.0),
        ("adam_b2", 1.1),
        ("max_gradient_norm", 0.0),
        ("target_policy_period", 0),
        ("target_critic_period", 0),
        ("discount", 1.01),
        ("reward_scale", -1.0),
        ("exploration", 1.5),
        ("exploration", math.nan),
        ("retrace_lambda", -0.1),
        ("num_atoms", 0),
        ("value_min", 1.0),
        ("value_min", -math.inf),
        ("value_max", math.inf),
        ("value_max", math.nan),
        ("top_fraction", 0.0),
        ("top_fraction", 1.1),
        ("init_deviation", 0.0),
        ("min_deviation", 0.0),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting: str, value: Any) -> None:
    named = "hidden sizes" if setting.endswith("hidden_sizes") else setting
    with pytest.raises(ValueError, match=rf"\b{named}\b") as refusal:
        ConditionalMPOConfig(**{setting: value})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"duals_per_member": True}, "set num_members above 0"),
        ({"retrace": True, "num_atoms": 51}, "retrace corrects expected returns.*num_atoms 1, not 51"),
        ({"on_policy": True, "num_atoms": 51}, "num_atoms must be 1, not 51"),
        ({"on_policy": True, "exploration": 0.1}, "exploration must be 0, not 0.1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        ConditionalMPOConfig(**settings)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"exploration": 1.0, "discount": 1.0, "adam_b1": 0.0, "retrace_lambda": 0.0, "top_fraction": 1.0},
        {"final_learning_rate": 0.0, "max_gradient_norm": math.inf, "num_samples": 1, "num_value_samples": 1},
        {"policy_hidden_sizes": (), "critic_hidden_sizes": (), "target_policy_period": 1, "horizon": 1},
        {"num_members": 1, "embedding_size": 1, "duals_per_member": True},
        {"retrace": True, "num_atoms": 1},
    ],
)
def test_limits_are_allowed(settings: dict[str, Any]) -> None:
    config = ConditionalMPOConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("num_members", "mixture_size", "size"), [(0, 0, 0), (8, 0, 1), (0, 5, 5), (8, 5, 6), (1, 0, 1)]
)
def test_a_context_holds_an_index_if_there_are_members_and_a_mixture(
    num_members: int, mixture_size: int, size: int
) -> None:
    assert ConditionalMPOConfig(num_members=num_members, mixture_size=mixture_size).context_size == size


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ConditionalMPOConfig().discount = 0.5  # type: ignore[misc]


# Numbers of Acme's MPO for continuous control.
_ACME: dict[str, Any] = {
    "epsilon": 0.1,
    "epsilon_penalty": 0.001,
    "epsilon_mean": 0.0025,
    "epsilon_deviation": 1e-6,
    "epsilon_policy": 0.0025,
    "temperature": 10.0,
    "alpha_mean": 10.0,
    "alpha_deviation": 1000.0,
    "num_samples": 20,
    "dual_learning_rate": 1e-2,
    "adam_b1": 0.9,
    "adam_b2": 0.999,
    "max_gradient_norm": 40.0,
    "target_policy_period": 100,
    "target_critic_period": 100,
    "discount": 0.99,
    "retrace": False,
    "retrace_lambda": 0.95,
    "init_deviation": 0.7,
    "min_deviation": 1e-6,
    "rectified": False,
    "action_penalty": True,
    "policy_delay": 1,
}


def test_bounds_and_first_duals_are_acme_s() -> None:
    assert {setting: getattr(PRESETS["acme"], setting) for setting in _ACME} == _ACME


def test_the_default_preset_is_what_no_arguments_give() -> None:
    assert PRESETS["default"] == ConditionalMPOConfig()


def test_the_preset_for_control_asks_for_no_more_than_acme_s_where_budgets_are_shared() -> None:
    """Comparisons of the two need equal networks, discounts and numbers of samples in an update."""
    for name in ("policy_hidden_sizes", "critic_hidden_sizes", "discount", "num_samples"):
        assert getattr(PRESETS["default"], name) == getattr(PRESETS["acme"], name)


def test_presets_are_on_policy_where_their_name_says_so() -> None:
    assert {name: preset.on_policy for name, preset in PRESETS.items()} == {
        "default": False,
        "acme": False,
        "games": False,
        "vmpo": True,
        "vmpo_games": True,
        "vmpo_short": True,
    }


def test_v_mpo_for_short_runs_is_the_same_with_wider_bounds_that_start_anew_more_often() -> None:
    changes = {
        "rectified": True,
        "learning_rate": 1e-3,
        "final_learning_rate": 1e-3,
        "target_policy_period": 5,
        "epsilon_mean": 0.03,
        "epsilon_deviation": 1e-3,
    }
    assert PRESETS["vmpo_short"] == dataclasses.replace(PRESETS["vmpo"], **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_can_be_changed_and_are_checked_again(name: str) -> None:
    assert dataclasses.replace(PRESETS[name], discount=0.5).discount == 0.5
    with pytest.raises(ValueError, match="discount"):
        dataclasses.replace(PRESETS[name], discount=1.5)
