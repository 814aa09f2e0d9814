"""Writes tables of results and code of examples into the pages that show them.

python -m experiments.benchmarks.published_pages

Figures come from `docs/results/*.json`. Code comes from the marked parts of `docs/examples/*.py`, which the
tests run. A page has marks, and everything between two of them is replaced:

    <!-- table: NAME -->           <!-- code: NAME PART -->
    <!-- end of table -->          <!-- end of code -->

A figure is written down once, under a name. Cells and notes are templates, `{seconds} s` or `{ours[0]:,}`, so
that no table can show a number that its file does not have. A list of figures is shown with commas.
"""

from __future__ import annotations

import json
import re
import string
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
EXAMPLES = ROOT / "docs" / "examples"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

# Entries that every file of results has; a figure that nobody can trace is worth little.
ENTRIES = ("title", "command", "machine", "software", "commit", "seeds", "peers", "columns", "rows")
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_CODE = re.compile(r"(<!-- code: (\w+) (\w+) -->\n).*?(<!-- end of code -->)", re.DOTALL)


class _Figures(string.Formatter):
    """Fills templates with figures; a list is shown with commas, each of its numbers by the format given.

    Beside Python's own formats there is `e-4`, which shows 0.00006 as 0.6e-4.
    """

    def format_field(self, value: Any, format_spec: str) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return ", ".join(self.format_field(each, format_spec) for each in value)
        if format_spec.startswith("e-"):
            return f"{value / float(f'1{format_spec}'):.1f}{format_spec}"
        # Python writes at least two digits of an exponent.
        return re.sub(r"e-0(\d)$", r"e-\1", format(value, format_spec))


def read_results(name: str) -> dict[str, Any]:
    """Returns the results of a published table.

    Raises:
      ValueError: there is no such file, or it lacks an entry.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"there are no results named {name!r} in {RESULTS}.")
    results: dict[str, Any] = json.loads(path.read_text())
    missing = [entry for entry in ENTRIES if entry not in results]
    if missing:
        raise ValueError(f"{path.name} lacks {', '.join(missing)}: add what is known, or null.")
    return results


def make_table(name: str, *, with_source: bool) -> str:
    """Returns a table as Markdown, with its notes.

    Args:
      name: the table's file in `docs/results`, without its ending.
      with_source: if True, the command, the machine and the data's file stand below the table.

    Raises:
      ValueError: the results are incomplete, or a row does not fit the columns.
    """
    results = read_results(name)
    rows = [[_fill(cell, figures_of(row)) for cell in row["cells"]] for row in results["rows"]]
    for row in rows:
        if len(row) != len(results["columns"]):
            raise ValueError(
                f"a row of {name}.json has {len(row)} cells for {len(results['columns'])} columns."
            )
    lines = [results["columns"], ["---"] * len(results["columns"]), *rows]
    parts = ["\n".join(f"| {' | '.join(line)} |" for line in lines)]
    parts += [_fill(note, results.get("figures", {})) for note in results.get("notes", [])]
    if with_source:
        parts = [part for part in (results.get("about"), *parts, _source(name, results)) if part]
    return "\n\n".join(parts)


def figures_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the figures of a row: its own, or by name those of rows of other tables.

    Args:
      row: its entry `from`, if it has one, maps names to places, `{"ours": "TABLE/ROW"}`.
    """
    if "from" not in row:
        return row["figures"]
    places = {key: place.split("/") for key, place in row["from"].items()}
    return {key: read_results(name)["rows"][int(number)]["figures"] for key, (name, number) in places.items()}


def _fill(template: str, figures: Mapping[str, Any]) -> str:
    return _Figures().vformat(template, (), figures)


def _source(name: str, results: Mapping[str, Any]) -> str:
    """Returns the lines below a table that say where its figures come from."""
    software = ", ".join(f"{package} {version}" for package, version in results["software"].items())
    commands = ", ".join(f"`{command}`" for command in results["command"].split("; "))
    commit = f"commit {results['commit']}" if results["commit"] else "commit not recorded"
    seeds = f"; seeds {', '.join(map(str, results['seeds']))}" if results["seeds"] else ""
    return (
        f"Measured with {commands} on {results['machine']}{seeds}; {software}; {commit}. "
        f"Data: [{name}.json]({name}.json)"
    )


def read_code(name: str, part: str) -> str:
    """Returns a part of an example: the lines between the comments `[start:PART]` and `[end:PART]`.

    Raises:
      ValueError: there is no such example, or it has no such part.
    """
    path = EXAMPLES / f"{name}.py"
    if not path.is_file():
        raise ValueError(f"there is no example named {name!r} in {EXAMPLES}.")
    marked = rf"^# \[start:{part}\]\n(.*?)^# \[end:{part}\]$"
    found = re.search(marked, path.read_text(), re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name} has no part {part!r}.")
    return found[1].strip("\n")


def fill_page(path: Path) -> str:
    """Returns a page's text with all its tables and code made anew.

    Raises:
      ValueError: a mark names results that do not exist or are incomplete, or an example that does not exist.
    """
    with_source = path.parent == RESULTS

    def put_table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{make_table(match[2], with_source=with_source)}\n\n{match[3]}"

    def put_code(match: re.Match[str]) -> str:
        return f"{match[1]}\n```python\n{read_code(match[2], match[3])}\n```\n\n{match[4]}"

    return _CODE.sub(put_code, _TABLE.sub(put_table, path.read_text()))


def main() -> None:
    """Writes all pages and prints the names of those that changed."""
    for path in PAGES:
        try:
            text = fill_page(path)
        except (ValueError, KeyError, IndexError) as error:
            sys.exit(f"error: {path.relative_to(ROOT)}: {error}")
        if text != path.read_text():
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
