"""Tests of commands.config_flag: values of flags and settings from a file."""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from absl import flags
from absl.testing import flagsaver

from acme_psro.commands import config_flag
from acme_psro.commands.config_flag import FileValues

flags.DEFINE_string("config_flag_test_name", "usual", "A flag of these tests.")
flags.DEFINE_string("config_flag_test_other", None, "A flag of these tests without a default.")
flags.DEFINE_integer("config_flag_test_count", 3, "A flag of these tests.")
flags.DEFINE_float("config_flag_test_share", 0.5, "A flag of these tests.")
flags.DEFINE_boolean("config_flag_test_switch", False, "A flag of these tests.")
flags.DEFINE_multi_string("config_flag_test_many", [], "A flag of these tests.")

Read = Callable[..., FileValues]


@pytest.fixture
def read(tmp_path: pathlib.Path) -> Iterator[Read]:
    """Reads a file with some content, with further flags on the command line."""

    def read(content: Any, *arguments: str) -> FileValues:
        path = tmp_path / "values.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        flags.FLAGS(["launcher", f"--config={path}", *arguments])
        return config_flag.read(__name__, ("device",))

    with flagsaver.flagsaver():
        yield read


def test_a_file_gives_values_to_flags_and_settings(read: Read) -> None:
    values = read(
        {
            "config_flag_test_name": "new",
            "config_flag_test_count": 7,
            "config_flag_test_share": 1,
            "config_flag_test_switch": True,
            "config_flag_test_many": ["a", "b"],
            "device": {"num_envs": 8},
        }
    )
    given = flags.FLAGS
    assert (given.config_flag_test_name, given.config_flag_test_count) == ("new", 7)
    assert (given.config_flag_test_share, type(given.config_flag_test_share)) == (1.0, float)
    assert (given.config_flag_test_switch, given.config_flag_test_many) == (True, ["a", "b"])
    assert values.groups == {"device": {"num_envs": 8}}
    assert values.names[-1] == "device"
    # Flags that have no effect are refused if the user gave them, and only named if a file did.
    assert not flags.FLAGS["config_flag_test_count"].present


def test_flags_on_the_command_line_take_precedence(read: Read) -> None:
    content = {"config_flag_test_name": "file", "config_flag_test_count": 7, "config_flag_test_share": 0.25}
    values = read(content, "--config_flag_test_name=line", "--config_flag_test_count=7")
    given = flags.FLAGS
    assert (given.config_flag_test_name, given.config_flag_test_count) == ("line", 7)
    assert given.config_flag_test_share == 0.25
    assert values.replaced == ("config_flag_test_name",)


def test_without_a_file_nothing_is_given() -> None:
    with flagsaver.flagsaver():
        flags.FLAGS(["launcher"])
        assert config_flag.read(__name__, ("device",)) == FileValues(None, (), (), {"device": {}})


def test_a_runs_directory_is_as_good_as_its_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.json").write_text('{"config_flag_test_count": 9, "made_by": [{"command": "x"}]}')
    with flagsaver.flagsaver():
        flags.FLAGS(["launcher", f"--config={tmp_path}"])
        # The surroundings of that run are none of this one.
        assert config_flag.read(__name__).names == ("config_flag_test_count",)
        assert flags.FLAGS.config_flag_test_count == 9


def test_no_value_is_the_default(read: Read) -> None:
    read({"config_flag_test_other": None})
    assert flags.FLAGS.config_flag_test_other is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "values.json is not JSON: Expecting property name"),
        ("", "values.json is not JSON"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "values.json is not JSON"),
        ([1], "must hold one JSON object"),
        ({"config_flag_test_nam": "x"}, "no flag or group of settings 'config_flag_test_nam'; did you mean"),
        ({"colour": "red"}, "no flag or group of settings 'colour'; there are config_flag_test_count, "),
        ({"config": "other.json"}, "no flag or group of settings 'config'"),
        ({"device": [3]}, "device must be an object of settings, not [3]."),
        ({"config_flag_test_name": 3}, "config_flag_test_name must be text, not 3."),
        ({"config_flag_test_name": None}, "config_flag_test_name must be text, not null."),
        ({"config_flag_test_count": 7.0}, "config_flag_test_count must be a whole number, not 7.0."),
        ({"config_flag_test_count": True}, "config_flag_test_count must be a whole number, not true."),
        ({"config_flag_test_share": "7"}, 'config_flag_test_share must be a number, not "7".'),
        ({"config_flag_test_switch": 1}, "config_flag_test_switch must be true or false, not 1."),
        ({"config_flag_test_many": "a"}, 'config_flag_test_many must be a list of texts, not "a".'),
        ({"config_flag_test_many": [1]}, "config_flag_test_many must be a list of texts, not [1]."),
        ({"seed": 1, "environment": "openspiel:x"}, "the configuration of a run of `acme-psro agent`"),
        ({"game": "kuhn_poker", "oracle": "exact"}, "the configuration of a run of `acme-psro run`"),
    ],
)
def test_what_a_file_cannot_give_is_said_in_one_line(read: Read, content: Any, says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        read(content)
    assert says in str(refusal.value)
    assert "values.json" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("unused", "line"),
    [
        ((), ""),
        (("num_envs",), ""),
        (("device",), "warning: {}: device has no effect on this run.\n"),
        (
            ("device", "config_flag_test_count"),
            "warning: {}: config_flag_test_count, device have no effect on this run.\n",
        ),
    ],
)
def test_values_without_an_effect_are_named(
    read: Read, capsys: pytest.CaptureFixture[str], unused: tuple[str, ...], line: str
) -> None:
    values = read({"config_flag_test_count": 7, "device": {"num_envs": 8}})
    config_flag.warn_of_unused(values, unused)
    assert capsys.readouterr().err == line.format(values.path)
