"""`config.json` of a run directory: written, read, and compared with what a run is asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from acme_psro.system import surroundings
from acme_psro.system.files import write_atomically
from acme_psro.system.nested import flatten

# Values of settings that did not exist when older runs were begun, or that are written only if they differ.
_ONCE = {
    "payoffs": "exact",
    "loop": "psro",
    "warm_start": "none",
    "exact_every": 1,
    "symmetric": False,
    "ce_responses": "all",
}

Config = Mapping[str, Any]


class RunDirectoryError(ValueError):
    """A directory that cannot be used as asked; the message is one line for the user."""


def write_config(directory: Path, config: Config) -> None:
    """Writes `config.json`, making the directory.

    It has the surroundings of this start too, after those of earlier ones, see
    `acme_psro.system.surroundings`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.json"
    before: Config = {}
    with contextlib.suppress(RunDirectoryError, FileNotFoundError):
        before = read_config(path)
    write_atomically(path, json.dumps(surroundings.add_start(config, before), indent=2) + "\n")


def is_sampled(config: Config) -> bool:
    """Returns True if a run's payoffs are sampled, and its game is not compiled."""
    return bool({**_ONCE, **config}["payoffs"] == "sampled")


def read_config(path: Path) -> Config:
    """Returns the configuration in a `config.json`.

    Raises:
      RunDirectoryError: it holds no configuration.
      OSError: it cannot be read, for example without permission.
    """
    try:
        config = json.loads(path.read_bytes())
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise RunDirectoryError(f"{path} cannot be read: it is truncated or altered.")
    return config


def differences(old: Config, new: Config, may_differ: Collection[str]) -> list[str]:
    """Returns the differences, as `name is old, not new`, nested names joined by dots.

    A setting, or a group of settings, that only the old configuration has is not in use any more: older
    versions recorded settings that a run did not use.
    """
    # Through JSON and back, so that tuples compare equal to the lists they are written as.
    once = {name: value for name, value in _ONCE.items() if name in old or name in new}
    flat_old = once | flatten({name: value for name, value in old.items() if name in {**new, **once}})
    flat_new = once | flatten(json.loads(json.dumps(new)))
    names = [name for name in {**flat_old, **flat_new} if name not in may_differ]
    return [
        f"{name} is {flat_old.get(name)}, not {flat_new.get(name)}"
        for name in names
        if flat_old.get(name) != flat_new.get(name)
    ]
