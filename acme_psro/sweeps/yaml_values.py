"""Values of a YAML file with the lines in which they stand, so that errors can name them.

Only plain data is read: numbers, truth values, texts, lists and mappings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_PLAIN = (bool, int, float, str)


class SweepFileError(ValueError):
    """A file that describes no sweep; the message is one line with the file, the line and the key."""


class Source(NamedTuple):
    """Place in a file.

    Attributes:
      path: the file.
      line: the line's number, beginning with 1.
    """

    path: Path
    line: int

    def error(self, reason: str) -> SweepFileError:
        """Returns the error of this place."""
        return SweepFileError(f"{self.path}, line {self.line}: {reason}")


class Node(NamedTuple):
    """A part of the file: a scalar, a list or a mapping.

    Attributes:
      source: its place.
      node: the node of the YAML parser.
    """

    source: Source
    node: yaml.Node

    @property
    def is_mapping(self) -> bool:
        """True for values by key."""
        return isinstance(self.node, yaml.MappingNode)

    def entries(self, what: str) -> Iterator[tuple[str, Node]]:
        """Yields the keys of a mapping with their values; the source of a value is the line of its key.

        Args:
          what: the name of the mapping, for messages.

        Raises:
          SweepFileError: this is no mapping, a key is no text, or a key is given twice.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.source.error(f"{what} must be a mapping, with KEY: VALUE in each line.")
        lines: dict[str, int] = {}
        for key_node, value in self.node.value:
            key = _at(self.source.path, key_node)
            name = key.value()
            if not isinstance(name, str):
                raise key.source.error(f"a key of {what} must be text, not {name!r}.")
            if name in lines:
                raise key.source.error(f"{name}: it is given already in line {lines[name]}.")
            lines[name] = key.source.line
            yield name, Node(key.source, value)

    def items(self) -> list[Node] | None:
        """Returns the parts of a list; None for anything else."""
        if not isinstance(self.node, yaml.SequenceNode):
            return None
        return [_at(self.source.path, each) for each in self.node.value]

    def value(self) -> Any:
        """Returns the plain value.

        Raises:
          SweepFileError: it is none, such as a date or an object of Python.
        """
        loader = yaml.SafeLoader("")
        try:
            value = loader.construct_object(self.node, deep=True)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = getattr(error, "problem", None) or str(error)
            raise self.source.error(f"{' '.join(reason.split())}.") from None
        finally:
            loader.dispose()
        _check_plain(self.source, value)
        return value


def read_yaml(path: Path) -> Node:
    """Returns the content of a YAML file with one document.

    Args:
      path: the file.

    Raises:
      OSError: it cannot be read.
      SweepFileError: it is no YAML, it is empty, or it refers to parts of itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            # A few of them, each a list of the one before, would stand for more values than there is memory.
            if isinstance(event, yaml.AliasEvent):
                place = Source(path, event.start_mark.line + 1)
                raise place.error(f"*{event.anchor}: references are not taken, so write the value out.")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise SweepFileError(f"{path} is not text in UTF-8.") from None
    except RecursionError:
        raise SweepFileError(f"{path} is nested too deeply.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(error.problem or error.context).split())
        raise Source(path, mark.line + 1 if mark else 1).error(f"this is not YAML: {reason}.") from None
    except yaml.YAMLError as error:
        raise SweepFileError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if root is None:
        raise SweepFileError(f"{path} is empty: a sweep has the key grid, with lists of values by key.")
    return _at(path, root)


def _at(path: Path, node: yaml.Node) -> Node:
    return Node(Source(path, node.start_mark.line + 1), node)


def _check_plain(source: Source, value: Any) -> None:
    """Checks that a value has a form in JSON, so that it can be passed on to runs.

    Raises:
      SweepFileError: it has none.
    """
    if isinstance(value, list):
        for each in value:
            _check_plain(source, each)
    elif isinstance(value, dict):
        for name, each in value.items():
            _check_plain(source, name)
            _check_plain(source, each)
    elif value is not None and type(value) not in _PLAIN:
        raise source.error(f"{value} is a {type(value).__name__}: put texts in quotes.")
