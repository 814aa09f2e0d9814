"""The commands of which a sweep may be made: the settings that each takes, and the check of a cell."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import configure
from acme_psro.population_runs.prepare import check_game
from acme_psro.population_runs.run import run as run_population
from acme_psro.population_runs.settings import check_settings
from acme_psro.system.tables import Row

Settings = Mapping[str, Any]

# Types of settings that a file may give, by the annotation of their field.
_TYPES = {"str": str, "int": int, "float": float, "bool": bool}


class Checked(NamedTuple):
    """A configuration that is allowed.

    Attributes:
      config: the complete configuration, as `config.json` holds it.
      total: how far a run is at its end, unless it ends before.
    """

    config: dict[str, Any]
    total: int


class RunProgress(NamedTuple):
    """Progress of a run: a number, which its total bounds, and the same in words for the user."""

    number: int
    text: str


@dataclasses.dataclass(frozen=True)
class Kind:
    """A command that carries out one run.

    Attributes:
      command: the word behind `acme-psro`.
      types: the settings with flags of their own, with their types.
      groups: names of the groups of settings, given by `--set`.
      progress: (complete configuration, directory, rows of metrics) -> how far a run is.
      check: returns the complete configuration of settings, some of them named GROUP.NAME; raises a
        ValueError if it is not allowed.
    """

    command: str
    types: Mapping[str, type]
    groups: tuple[str, ...]
    progress: Callable[[Mapping[str, Any], Path, Sequence[Row]], RunProgress]
    check: Callable[[Settings], Checked]

    def arguments(self, settings: Settings) -> list[str]:
        """Returns the command's arguments for settings, some of them named GROUP.NAME."""
        return [
            f"--set={name}={json.dumps(value)}" if "." in name else f"--{name}={_as_flag(value)}"
            for name, value in settings.items()
        ]


def find_kind(command: str) -> Kind:
    """Returns the kind of runs that a command carries out.

    Raises:
      ValueError: there is no such command, or a sweep cannot be made of it.
    """
    if command not in KINDS:
        raise ValueError(f"command must be one of {', '.join(KINDS)}, not {command!r}.")
    return KINDS[command]()


def _as_flag(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _grouped(settings: Settings) -> dict[str, Any]:
    """Returns the settings with those of a group in one dictionary."""
    grouped: dict[str, Any] = {}
    for name, value in settings.items():
        group, _, last = name.partition(".")
        if last:
            grouped.setdefault(group, {})[last] = value
        else:
            grouped[name] = value
    return grouped


def _check_population(settings: Settings) -> Checked:
    parameters = inspect.signature(run_population).parameters
    taken = inspect.signature(configure).parameters
    # The defaults are those of `acme_psro.run`, and so those of the command's flags.
    usual = {name: each.default for name, each in parameters.items() if name in taken and name != "game"}
    if "game" not in settings:
        raise ValueError("game is missing: give the game in base or in grid.")
    config = check_settings(configure(**{**usual, **_grouped(settings)}))
    check_game(config)
    return Checked(config.to_json(), config.iterations)


def _check_neupl(settings: Settings) -> Checked:
    return _check_population({**settings, "loop": "neupl"})


def _check_self_play(settings: Settings) -> Checked:
    # It brings JAX, which a sweep of exact runs does without.
    from acme_psro.games.loading import load_game
    from acme_psro.self_play_runs.config import SelfPlayRunConfig, default_budget

    if "game" not in settings:
        raise ValueError("game is missing: give the game in base or in grid.")
    given = _grouped(settings)
    usual = default_budget(given.get("algorithm", "mmd"))._asdict()
    config = SelfPlayRunConfig(**{**usual, **given})
    load_game(config.game)
    return Checked(config.to_json(), config.steps)


def _count_iterations(config: Mapping[str, Any], directory: Path, rows: Sequence[Row]) -> RunProgress:
    del config, directory
    number = int(rows[-1]["iteration"]) if rows else 0
    return RunProgress(number, f"iteration {number}")


def _count_steps(config: Mapping[str, Any], directory: Path, rows: Sequence[Row]) -> RunProgress:
    from acme_psro.self_play_runs.work import measure_of, steps_done

    number = steps_done(config, directory, rows)
    return RunProgress(number, f"{number:,} {measure_of(config).unit}")


def _split(config: type, *without: str) -> tuple[dict[str, type], tuple[str, ...]]:
    """Returns the plain settings of a configuration with their types, and the names of its groups."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(config)}
    plain = {name: _TYPES[kind] for name, kind in fields.items() if kind in _TYPES and name not in without}
    return plain, tuple(name for name, kind in fields.items() if kind.startswith(("dict", "Mapping")))


def _population_kind() -> Kind:
    types, groups = _split(PSROConfig, "seed")
    return Kind("run", {**types, "preset": str}, groups, _count_iterations, _check_population)


def _neupl_kind() -> Kind:
    types, groups = _split(PSROConfig, "seed", "loop", "warm_start")
    return Kind("neupl", types, groups, _count_iterations, _check_neupl)


def _self_play_kind() -> Kind:
    from acme_psro.self_play_runs.config import SelfPlayRunConfig

    types, groups = _split(SelfPlayRunConfig, "seed")
    return Kind("self-play", types, groups, _count_steps, _check_self_play)


KINDS: dict[str, Callable[[], Kind]] = {
    "run": _population_kind,
    "neupl": _neupl_kind,
    "self-play": _self_play_kind,
}
