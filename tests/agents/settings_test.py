"""Tests of agents.settings: settings by name, as users give them, and checks of names."""

import json
from typing import Any

import pytest

from agents import settings
from agents.crossq.config import CrossQConfig


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("[8]", "critic_hidden_sizes", (8,)),
        ("[]", "policy_hidden_sizes", ()),
        ("1", "learning_rate", 1.0),
        ("1e-4", "learning_rate", 1e-4),
        ("3", "num_critics", 3),
        ("false", "learn_temperature", False),
        ('"mean"', "q_reduction", "mean"),
    ],
)
def test_settings_take_their_own_types(text: str, name: str, value: Any) -> None:
    found = getattr(settings.replace("crossq", CrossQConfig(), {name: json.loads(text)}), name)
    assert (found, type(found)) == (value, type(value))


def test_infinity_and_lists_of_any_kind_can_be_said() -> None:
    changes = {"renorm_r_max": "inf", "critic_hidden_sizes": (3, 4)}
    found = settings.replace("crossq", CrossQConfig(), changes)
    assert (found.renorm_r_max, found.critic_hidden_sizes) == (float("inf"), (3, 4))


def test_what_is_not_changed_stays() -> None:
    before = CrossQConfig(discount=0.5)
    assert settings.replace("crossq", before, {}) == before
    assert settings.replace("crossq", before, {"num_critics": 3}) == CrossQConfig(discount=0.5, num_critics=3)
    assert before == CrossQConfig(discount=0.5)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("learning_rate", "abc", "crossq's learning_rate must be a number, such as 0.001, not 'abc'."),
        ("learning_rate", True, "must be a number"),
        ("learning_rate", None, "must be a number"),
        ("learning_rate", [1.0], "must be a number"),
        ("num_critics", 2.0, "crossq's num_critics must be a whole number, such as 2, not 2.0."),
        ("num_critics", True, "must be a whole number"),
        ("learn_temperature", 1, "must be true or false"),
        ("learn_temperature", "no", "must be true or false"),
        ("q_reduction", 3, "must be text"),
        ("critic_hidden_sizes", 8, "must be a list of whole numbers, such as (256, 256), not 8."),
        ("critic_hidden_sizes", "[8", "must be a list of whole numbers"),
        ("critic_hidden_sizes", [8.5], "must be a list of whole numbers"),
        ("learning_rate", -1.0, "learning_rate must be above 0, not -1.0"),
        ("colour", "red", "crossq has no setting 'colour'; it has critic_hidden_sizes, "),
    ],
)
def test_other_types_and_names_are_refused_in_one_line(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        settings.replace("crossq", CrossQConfig(), {name: value})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_known_are_refused_with_those_that_are() -> None:
    settings.check_known("oracle", "exact", ("exact", "device"))
    with pytest.raises(ValueError, match=r"^no oracle named 'magic'; use one of exact, device\.$"):
        settings.check_known("oracle", "magic", ("exact", "device"))
