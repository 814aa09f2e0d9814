"""Habits of prose that can be checked: every docstring names its subject or starts with a verb."""

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("agents", "acme_psro", "experiments", "tests")
# A docstring that opens like this is half a sentence, which the reader must complete.
HEADLESS = re.compile(r"(What|Who|Whom|Whose|How|Where|Which|Whether)\b")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def find_headless(path: pathlib.Path) -> Iterator[str]:
    """Yields a line for each docstring of a file that opens headless."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DOCUMENTED):
            text = ast.get_docstring(node) or ""
            if HEADLESS.match(text):
                yield f"{path}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_opens_headless(folder: str) -> None:
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    assert [line for path in paths for line in find_headless(path)] == []


def test_headless_docstrings_are_found(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Whether it rains."""\n\nclass A:\n  """Weather."""\n\n  def b():\n    """Whatever falls."""\n'
        '    async def c():\n      """How much."""\n'
    )
    assert list(find_headless(path)) == [f"{path}:1: Whether it rains.", f"{path}:8: How much."]
