"""Report of a self-play run as one HTML file: exact exploitability by steps, terms of the loss, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_psro.display import curves, page
from acme_psro.display.formats import capitalise, format_duration, format_value
from acme_psro.self_play_runs.work import Work, describe_work, measure_of
from acme_psro.system import surroundings
from acme_psro.system.files import write_atomically
from acme_psro.system.tables import Row

_EXACT = (
    "NashConv is what the players together gain by exact best responses to the newest policy; exploitability "
    "is NashConv divided by the number of players."
)
_TERMS = (
    "Means since the evaluation before, in nats: the policy’s entropy over legal actions, and its distance "
    "from the policy that played."
)
# Steps at which an axis changes to the larger unit.
_MANY = 2_000_000


def write_report(path: Path, config: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Writes a run's report, which needs no other file, script or network.

    Args:
      path: the file to write, replaced atomically.
      config: the run's configuration, as in `config.json`.
      rows: the rows of `metrics.csv`; at least one.

    Raises:
      ValueError: there are no rows.
      OSError: the file cannot be written.
    """
    if not rows:
        raise ValueError("a report needs at least one evaluation: let the run go on.")
    title, work = str(config["game"]), measure_of(config)
    settings = {name: value for name, value in config.items() if name != surroundings.KEY}
    about = f"self-play · algorithm {config['algorithm']} · seed {config['seed']}"
    sections = [
        page.make_head(title, about, _describe(config, rows[-1]), _make_tiles(config, rows)),
        "<h2>Convergence</h2>",
        page.make_grid([_draw(rows, work, "exact", ("exploitability", "nash_conv"), "game units", _EXACT)]),
        "<h2>Policy</h2>",
        page.make_grid([_draw(rows, work, "terms", ("entropy", "kl"), "nats", _TERMS)]),
        f"<h2>Configuration</h2>{page.make_config_table(settings)}",
    ]
    write_atomically(path, page.make_page(f"{title}: self-play", sections))


def try_to_write(
    path: Path, config: Mapping[str, Any], rows: Sequence[Row], say: Callable[[str], None]
) -> None:
    """Writes a run's report, or says why there is none: a report that fails must not cost the run."""
    try:
        write_report(path, config, rows)
    except Exception as error:
        say(f"warning: there is no report: {type(error).__name__}: {error}".replace("\n", " "))


def _draw(rows: Sequence[Row], work: Work, name: str, columns: Sequence[str], unit: str, caption: str) -> str:
    """Returns a figure of some columns by work."""
    steps, label = [float(row[work.column]) for row in rows], work.unit
    if steps[-1] >= _MANY:
        steps, label = [step / 1e6 for step in steps], f"{work.unit} (millions)"
    lines = [curves.Line(_TITLES[column], steps, [float(row[column]) for row in rows]) for column in columns]
    heading = f"{_TITLES[columns[0]]} by {work.unit}"
    svg = curves.draw_convergence(f"self-play-{name}", lines, label, unit)
    return page.make_figure(capitalise(heading), svg, caption)


_TITLES = {
    "exploitability": "exploitability",
    "nash_conv": "NashConv",
    "entropy": "entropy",
    "kl": "KL from the policy that played",
}


def _describe(config: Mapping[str, Any], row: Row) -> str:
    return f"Exploitability {format_value(row['exploitability'])} after {describe_work(config, row)}."


def _make_tiles(config: Mapping[str, Any], rows: Sequence[Row]) -> list[page.Tile]:
    """Returns the headline numbers: results and cost."""
    first, last = rows[0], rows[-1]
    at_first = f"{format_value(first['exploitability'])} after {describe_work(config, first)}"
    column, unit = measure_of(config)
    return [
        page.Tile("Exploitability", format_value(last["exploitability"]), at_first),
        page.Tile("NashConv", format_value(last["nash_conv"]), ""),
        page.Tile(unit.capitalize(), f"{last[column]:,.0f}", f"{last['episodes']:,.0f} episodes"),
        page.Tile("Time", format_duration(last["wall_seconds"]), "training and evaluation"),
    ]
