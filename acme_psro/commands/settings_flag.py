"""The flag `--set` of launchers: settings that have no flag of their own, in groups."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags

AGENT_GROUP = "agent_settings"

# Values by name of a setting, for each group of settings.
Groups = dict[str, dict[str, Any]]

flags.DEFINE_multi_string(
    "set",
    [],
    "GROUP.NAME=VALUE, a setting without a flag of its own, such as device.snapshots=20; a NAME without a "
    "GROUP is a setting of the agent. May be given repeatedly.",
)


def parse_settings(
    texts: Sequence[str], groups: Collection[str], flag: str = "set", usual: str = AGENT_GROUP
) -> Groups:
    """Parses settings of the form NAME=VALUE or GROUP.NAME=VALUE.

    Args:
      texts: settings as given on the command line. Values are parsed as JSON; a value that is not valid
        JSON is kept as text. Of several values of one setting the last one counts.
      groups: names of the groups.
      flag: name of the flag, for error messages.
      usual: group of settings that are named without one.

    Raises:
      ValueError: a setting does not have this form, or there is no such group.
    """
    settings: Groups = {group: {} for group in groups}
    for text in texts:
        name, equals, value = text.partition("=")
        group, _, last = name.strip().rpartition(".")
        if not (last and equals and value.strip()):
            raise ValueError(f"--{flag} takes NAME=VALUE, such as learning_rate=0.001, not {text!r}.")
        if (group or usual) not in groups:
            near = difflib.get_close_matches(group, groups, n=1)
            hint = f"did you mean {near[0]}.{last}?" if near else f"groups are {', '.join(groups)}."
            raise ValueError(f"--{flag}={text}: there is no group {group!r} of settings; {hint}")
        settings[group or usual][last] = _parse_value(value)
    return settings


def check_not_both(settings: Groups, flags_of: Mapping[str, Mapping[str, str]]) -> None:
    """Checks that no setting is given by `--set` and by a flag of its own.

    Args:
      settings: the settings that `--set` gave.
      flags_of: for each group, the names of settings by the flags that give them.

    Raises:
      ValueError: a setting is given twice; the message names both flags.
    """
    for group, names in flags_of.items():
        for flag, name in names.items():
            if name in settings[group] and flags.FLAGS[flag].present:
                raise ValueError(f"--{flag} and --set={group}.{name} are the same setting: give one of them.")


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_parse_constant)
    except json.JSONDecodeError:
        return text.strip()


def _parse_constant(text: str) -> str:
    """Returns a number that is not finite as text, because `config.json` cannot hold such numbers."""
    return {"Infinity": "inf", "-Infinity": "-inf"}.get(text, text)
