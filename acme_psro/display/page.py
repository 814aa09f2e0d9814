"""HTML parts of a report: the page with its style, figures, tables and headline numbers.

Arguments called text are escaped here. All others are HTML and inserted without a change.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acme_psro.system.nested import flatten

_CSS = """
:root {
  color-scheme: light dark;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --page: #f6f6f3; --surface: #ffffff; --ink: #16181d; --muted: #5a606b; --rule: #d9dbdf;
  --series-0: #0b6cb8; --series-1: #c2560a; --series-2: #00805c;
  --series-3: #a64a86; --series-4: #6a5acd; --series-5: #7a6a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1115; --surface: #181b21; --ink: #eceef2; --muted: #a2a9b4; --rule: #353a44;
    --series-0: #5aa9ee; --series-1: #f0924c; --series-2: #35bf95;
    --series-3: #dd8fc0; --series-4: #a99cf5; --series-5: #d3c04a;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 32px 20px 64px; background: var(--page);
  color: var(--ink); font: 16px/1.5 var(--sans); -webkit-text-size-adjust: 100%; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 40px 0 12px; font-size: 1.15rem; }
.about { margin: 4px 0 0; color: var(--muted); }
.note { margin: 10px 0 0; color: var(--muted); font-size: .88rem; }
.outcome { margin: 16px 0 0; max-width: 70ch; }
dl { display: flex; flex-wrap: wrap; gap: 1px; margin: 24px 0 0; background: var(--rule);
  border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; }
dl div { flex: 1 1 150px; padding: 12px 14px; background: var(--surface); }
dt, dd.detail { color: var(--muted); font-size: .82rem; }
dd { margin: 0; }
dd.value { font-size: 1.2rem; font-weight: 600; line-height: 1.4; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 16px; }
figure { margin: 0; padding: 14px 16px 16px; background: var(--surface);
  border: 1px solid var(--rule); border-radius: 8px; min-width: 0; }
figure h3 { margin: 0 0 8px; font-size: 1rem; }
figure svg { display: block; width: 100%; max-width: 520px; height: auto; margin: 0 auto; }
figcaption { margin-top: 8px; color: var(--muted); font-size: .88rem; }
.scroll { overflow-x: auto; background: var(--surface); border: 1px solid var(--rule);
  border-radius: 8px; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th, td { padding: 7px 10px; text-align: left; vertical-align: top; }
tr + tr > *, tbody tr > * { border-top: 1px solid var(--rule); }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; }
.numbers th, .numbers td { text-align: right; white-space: nowrap; }
.numbers, dd.value { font-variant-numeric: tabular-nums; }
.config th { width: 1%; white-space: nowrap; font-weight: 500; }
.config td { overflow-wrap: anywhere; }
@media print { body { padding: 0; } figure, .scroll { break-inside: avoid; } }
"""


class Tile(NamedTuple):
    """One headline number of a report.

    Attributes:
      name: the number's name, as HTML.
      value: the number itself, as HTML, shown large.
      detail: a remark on the number, as HTML, or an empty string.
    """

    name: str
    value: str
    detail: str


def make_page(title_text: str, sections: Sequence[str]) -> str:
    """Returns a complete HTML document.

    Args:
      title_text: the title in the browser's tab.
      sections: the HTML of the body, from top to bottom.
    """
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title_text)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(sections) + "\n</body>\n</html>\n"


def make_head(title_text: str, about_text: str, outcome_text: str, tiles: Sequence[Tile]) -> str:
    """Returns the top of a report: title, main settings, outcome and headline numbers."""
    cells = "".join(
        f'<div><dt>{tile.name}</dt><dd class="value">{tile.value}</dd>'
        f'<dd class="detail">{tile.detail}</dd></div>'
        for tile in tiles
    )
    return (
        f"<h1>{html.escape(title_text)}</h1>\n"
        f'<p class="about">{html.escape(about_text)}</p>\n'
        f'<p class="outcome">{html.escape(outcome_text)}</p>\n<dl>{cells}</dl>'
    )


def make_note(note: str) -> str:
    """Returns a paragraph in small print."""
    return f'<p class="note">{note}</p>'


def make_figure(heading: str, svg: str, caption: str) -> str:
    """Returns a figure: a heading, one `<svg>` element and a caption below it."""
    return f"<figure><h3>{heading}</h3>{svg}<figcaption>{caption}</figcaption></figure>"


def make_grid(figures: Sequence[str]) -> str:
    """Returns figures in as many columns as the window has room for."""
    return f'<div class="figures">{"".join(figures)}</div>'


def make_number_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of numbers, which scrolls sideways in a narrow window.

    Args:
      header: the columns' names.
      rows: one cell for each column.
    """
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def make_config_table(config: Mapping[str, object]) -> str:
    """Returns a table of a configuration: one row for each value, under its dotted name.

    Args:
      config: the configuration. Names and values are text, and mappings may be nested.
    """
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(_describe(value))}</td></tr>"
        for name, value in flatten(config).items()
    )
    return f'<div class="scroll"><table class="config"><tbody>{rows}</tbody></table></div>'


def _describe(value: object) -> str:
    # Values without a form in JSON, such as paths, are shown as `str` writes them.
    return value if isinstance(value, str) else json.dumps(value, default=str)
