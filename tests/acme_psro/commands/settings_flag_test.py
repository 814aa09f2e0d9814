"""Tests of commands.settings_flag: settings in groups, as the command line gives them."""

from typing import Any

import pytest
from absl import flags
from absl.testing import flagsaver

from acme_psro.commands import settings_flag

GROUPS = ("device", "agent_settings")

flags.DEFINE_integer("settings_flag_test_count", None, "A flag of these tests.")


@pytest.mark.parametrize(
    ("texts", "device", "agent"),
    [
        ([], {}, {}),
        (["device.snapshots=20", "agent_settings.discount=1"], {"snapshots": 20}, {"discount": 1}),
        # The agent's settings need no group.
        (["discount=0.5", "q_reduction=min"], {}, {"discount": 0.5, "q_reduction": "min"}),
        # The last value counts, whether the group is named or not.
        (["discount=0.5", "agent_settings.discount=0.6"], {}, {"discount": 0.6}),
        (["device.enough = 0.5"], {"enough": 0.5}, {}),
        # Values are JSON where they can be, and text where they cannot. Numbers that JSON lacks are text.
        (["a=true", "b=[8, 8]", 'c="1"', "d=x=y"], {}, {"a": True, "b": [8, 8], "c": "1", "d": "x=y"}),
        (
            ["a=Infinity", "b=-Infinity", "c=NaN", "d=inf"],
            {},
            {"a": "inf", "b": "-inf", "c": "NaN", "d": "inf"},
        ),
    ],
)
def test_settings_go_to_their_groups(texts: list[str], device: Any, agent: Any) -> None:
    parsed = settings_flag.parse_settings(texts, GROUPS)
    assert parsed == {"device": device, "agent_settings": agent}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("discount", "--set takes NAME=VALUE, such as learning_rate=0.001, not 'discount'."),
        ("discount=", "--set takes NAME=VALUE"),
        ("=1", "--set takes NAME=VALUE"),
        ("device.=1", "--set takes NAME=VALUE"),
        ("", "--set takes NAME=VALUE"),
        ("devise.snapshots=1", "no group 'devise' of settings; did you mean device.snapshots?"),
        ("colour.red=1", "no group 'colour' of settings; groups are device, agent_settings."),
        ("device.deep.snapshots=1", "no group 'device.deep'"),
    ],
)
def test_other_forms_are_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        settings_flag.parse_settings([text], GROUPS)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_setting_is_given_once() -> None:
    flags_of = {"device": {"settings_flag_test_count": "count"}, "agent_settings": {}}
    settings = settings_flag.parse_settings(["device.count=3"], GROUPS)
    settings_flag.check_not_both(settings, flags_of)
    with flagsaver.flagsaver():
        # The flag's value is the same, but who reads the command must not wonder which one counts.
        flags.FLAGS(["launcher", "--settings_flag_test_count=3"])
        with pytest.raises(
            ValueError, match=r"^--settings_flag_test_count and --set=device\.count are the same"
        ):
            settings_flag.check_not_both(settings, flags_of)
        settings_flag.check_not_both(settings_flag.parse_settings(["device.other=3"], GROUPS), flags_of)
