"""Sweep files: the fixed settings and the grid of a sweep, read from YAML and checked key by key."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acme_psro.sweeps.kinds import Kind, find_kind
from acme_psro.sweeps.yaml_values import Node, Source, SweepFileError, read_yaml

_KEYS = ("command", "base", "grid", "import_module")
_SEEDS = "seeds"
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
# The fields of a seed in the random numbers of NumPy and JAX have room for these.
_MOST_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class SweepFile:
    """A sweep as its file describes it.

    Attributes:
      path: the file.
      kind: the command that carries out each run.
      base: the settings that all cells have, some of them named GROUP.NAME.
      grid: the values of each further setting; a cell has one of each.
      seeds: the seeds of each cell, at least one.
      modules: modules of the user that runs import first.
      sources: the places of all keys in the file.
      grid_source: the place of the grid.
    """

    path: Path
    kind: Kind
    base: dict[str, Any]
    grid: dict[str, list[Any]]
    seeds: tuple[int, ...]
    modules: tuple[str, ...]
    sources: Mapping[str, Source]
    grid_source: Source


def read_sweep(path: Path) -> SweepFile:
    """Reads a sweep file and checks each key and each value, but not how they fit together.

    Args:
      path: the YAML file.

    Raises:
      OSError: it cannot be read.
      SweepFileError: a key is unknown or given twice, a value has the wrong type, or a list is empty or has a
        value twice. The message names the file, the line and the key.
    """
    root = read_yaml(path)
    parts = dict(root.entries("the file"))
    for name, node in parts.items():
        if name not in _KEYS:
            raise node.source.error(f"{name}: there is no such key; {_hint(name, _KEYS)}")
    kind = _read_kind(parts)
    grid_node = parts.get("grid")
    if grid_node is None:
        raise root.source.error(
            "grid is missing: it has a list of values for each key, such as seeds: [0, 1]."
        )
    base = dict(_settings(parts["base"], "base", kind)) if "base" in parts else {}
    given = dict(_settings(grid_node, "grid", kind))
    for name in base.keys() & given.keys():
        raise given[name].source.error(f"{name}: it is in base too, in line {base[name].source.line}.")
    seeds = _seeds_of(given.pop(_SEEDS)) if _SEEDS in given else (0,)
    return SweepFile(
        path=path,
        kind=kind,
        base={name: _typed(name, node, kind) for name, node in base.items()},
        grid={name: _values_of(name, node, kind) for name, node in given.items()},
        seeds=seeds,
        modules=_modules_of(parts),
        sources={name: node.source for name, node in {**base, **given}.items()},
        grid_source=grid_node.source,
    )


def _read_kind(parts: Mapping[str, Node]) -> Kind:
    if "command" not in parts:
        return find_kind("run")
    try:
        return find_kind(str(parts["command"].value()))
    except ValueError as error:
        raise parts["command"].source.error(f"command: {error}") from None


def _settings(node: Node, part: str, kind: Kind) -> Iterator[tuple[str, Node]]:
    """Yields the settings of `base` or `grid` by name; those of a group are named GROUP.NAME.

    Raises:
      SweepFileError: a key is unknown or given twice.
    """
    known = [*kind.types, *([_SEEDS] if part == "grid" else [])]
    seen: dict[str, int] = {}
    for name, value in node.entries(part):
        # A group may be written as a mapping, as in a run's config.json.
        if name in kind.groups:
            inner = [(f"{name}.{last}", each) for last, each in value.entries(f"{part}.{name}")]
        else:
            inner = [(name, value)]
        for full, each in inner:
            group, _, last = full.rpartition(".")
            if full not in known and not (group in kind.groups and last):
                raise each.source.error(
                    f"{full}: there is no such key in {part}; {_describe_keys(full, known, kind)}"
                )
            if full in seen:
                raise each.source.error(f"{full}: it is given already in line {seen[full]}.")
            seen[full] = each.source.line
            yield full, each


def _describe_keys(name: str, known: list[str], kind: Kind) -> str:
    if name == "seed":
        return "seeds are a list in grid, such as seeds: [0, 1, 2]."
    if name == _SEEDS:
        return "seeds are a list in grid."
    groups = f"GROUP.NAME with one of the groups {', '.join(kind.groups)}"
    near = difflib.get_close_matches(name, known, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}, and {groups}."


def _hint(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."


def _values_of(name: str, node: Node, kind: Kind) -> list[Any]:
    """Returns the values of a key of the grid.

    Raises:
      SweepFileError: it has no list of values, one has the wrong type, or one is given twice.
    """
    items = node.items()
    if items is None:
        raise node.source.error(f"{name}: it must be a list of values; a single value belongs into base.")
    if not items:
        raise node.source.error(f"{name}: the list is empty: give at least one value.")
    values = [_typed(name, each, kind) for each in items]
    texts: set[str] = set()
    for item, value in zip(items, values, strict=True):
        text = json.dumps(value)
        if text in texts:
            raise item.source.error(f"{name}: {text} is in the list twice.")
        texts.add(text)
    return values


def _typed(name: str, node: Node, kind: Kind) -> Any:
    """Returns the value of a setting; one of a group keeps its type, which is checked with its group.

    Raises:
      SweepFileError: it has the wrong type.
    """
    value = _as_json(node.value())
    wanted = kind.types.get(name)
    if value is None:
        raise node.source.error(f"{name}: it has no value: give one, or leave the key out.")
    if wanted is None:
        return value
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise node.source.error(f"{name}: it must be {_TYPE_NAMES[wanted]}, not {json.dumps(value)}.")
    return value.strip() if isinstance(value, str) else value


def _as_json(value: Any) -> Any:
    """Returns a value as `--set` would read it.

    In YAML, 1e-3 is a text and 1.0e-3 a number; JSON has no numbers that are not finite.
    """
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        try:
            number = json.loads(value, parse_constant=str)
        except ValueError:
            return value
        return number if isinstance(number, float) else value
    return value


def _seeds_of(node: Node) -> tuple[int, ...]:
    """Returns the seeds.

    Raises:
      SweepFileError: they are no list of different whole numbers.
    """
    items = node.items()
    if not items:
        raise node.source.error(f"{_SEEDS}: it must be a list with at least one number, such as [0, 1, 2].")
    seeds: dict[int, None] = {}
    for each in items:
        value = each.value()
        if type(value) is not int or not 0 <= value <= _MOST_SEED:
            raise each.source.error(
                f"{_SEEDS}: a seed is a whole number from 0 to {_MOST_SEED}, not {value!r}."
            )
        if value in seeds:
            raise each.source.error(f"{_SEEDS}: {value} is in the list twice.")
        seeds[value] = None
    return tuple(seeds)


def _modules_of(parts: Mapping[str, Node]) -> tuple[str, ...]:
    if "import_module" not in parts:
        return ()
    node = parts["import_module"]
    names = node.value()
    if not (isinstance(names, list) and names and all(isinstance(each, str) for each in names)):
        raise node.source.error("import_module: it must be a list of names of modules.")
    return tuple(names)


__all__ = ["SweepFile", "SweepFileError", "read_sweep"]
