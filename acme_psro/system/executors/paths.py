"""Paths of a job's files on another machine, and commands in which they stand for those of this one.

On the other machine, files lie in a scratch directory under their absolute paths from here, so that paths
between them stay what they are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# A path ends where one of these follows: the end of the text, a slash, a quote, or what separates paths.
_BEFORE, _AFTER = r"(?<![\w./-])", r"(?=$|[/\"'\\:,;\s)\]}])"


def travelling(directory: Path, inputs: Iterable[Path]) -> list[Path]:
    """Returns the paths of a job that a command may name: its directory, its inputs, and their parents."""
    named = [directory, *(path for each in inputs for path in (each, each.parent))]
    return [path for path in dict.fromkeys(named) if path.name]


def place_of(path: Path) -> str:
    """Returns the place of a path of this machine in a scratch directory, as a relative path."""
    return os.path.abspath(path).lstrip("/")


def make_pairs(paths: Iterable[Path], root: str) -> list[tuple[str, str]]:
    """Returns pairs of a path as it is written here, and its place under a scratch directory.

    Args:
      paths: paths, absolute ones or relative to the current directory.
      root: the scratch directory.
    """
    return [(str(path), os.path.join(root, place_of(path))) for path in paths]


def replace(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Returns a text with paths replaced, whole ones and first parts of longer ones.

    Paths in JSON are found too. Of several paths that fit, the longest is replaced.

    Args:
      text: a part of a command, or the content of a file.
      pairs: paths, and what stands in their place.
    """
    table: dict[str, str] = {}
    for old, new in pairs:
        table[old] = new
        table[json.dumps(old)[1:-1]] = json.dumps(new)[1:-1]
    if not table:
        return text
    longest_first = sorted(table, key=len, reverse=True)
    pattern = f"{_BEFORE}(?:{'|'.join(map(re.escape, longest_first))}){_AFTER}"
    return re.sub(pattern, lambda found: table[found[0]], text)


def replace_root(environment: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    """Returns environment variables in which Python looks for packages in another place.

    Args:
      environment: the variables.
      old: an entry of `PYTHONPATH`.
      new: the entry in its place.
    """
    found = environment.get("PYTHONPATH")
    if found is None:
        return dict(environment)
    entries = [new if entry == old else entry for entry in found.split(os.pathsep)]
    return {**environment, "PYTHONPATH": os.pathsep.join(entries)}
