"""Report of a sweep: curves with bands as one picture, and as an HTML page with a table of final values."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from acme_psro.display import axes, bands, formats, page, png, svg
from acme_psro.display.bands import Band, Curve
from acme_psro.display.seeds_report import SeedProgress, describe_end
from acme_psro.system.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 2
_PICTURE = "sweep"
# A value that rounding errors alone keep above zero would stretch a logarithmic axis over many decades.
_ZERO = 1e-12


class Series(NamedTuple):
    """A cell of a sweep that has results.

    Attributes:
      label: its name in the legend of its panel.
      name: its name in tables, unique in the sweep.
      directory: the directory of its runs, relative to that of the sweep.
      measure: the column of metrics that measures convergence.
      seeds: its runs.
    """

    label: str
    name: str
    directory: str
    measure: str
    seeds: Sequence[SeedProgress]


class Panel(NamedTuple):
    """Cells that are drawn in one figure.

    Attributes:
      title: the values that they have in common, such as the game.
      series: the cells, at least one.
    """

    title: str
    series: Sequence[Series]


def write_sweep_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    about: str,
    outcome: str,
    panels: Sequence[Panel],
    failures: Mapping[str, str],
    settings: Mapping[str, object],
) -> None:
    """Writes the report of a sweep as one HTML file that needs no other file, script or network.

    Args:
      path: the file, replaced atomically. It links to the reports of the runs.
      title: the sweep's name.
      about: its main settings.
      outcome: one sentence on how far the runs are.
      panels: the cells with results; at least one panel.
      failures: the reasons of failed runs, by name.
      settings: the sweep's file.

    Raises:
      ValueError: there are no panels.
      OSError: the file cannot be written.
    """
    if not panels:
        raise ValueError("a report of a sweep needs a cell with results.")
    series = [each for panel in panels for each in panel.series]
    sections = [
        page.make_head(title, about, outcome, _make_tiles(series, failures)),
        *(part for index, panel in enumerate(panels) for part in _make_section(index, panel)),
        page.make_note(_explain(series)),
        f"<h2>Final values</h2>{_make_ends(series)}",
        f"<h2>Failed runs</h2>{page.make_config_table(failures)}" if failures else "",
        f"<h2>Sweep</h2>{page.make_config_table(settings)}",
    ]
    write_atomically(path, page.make_page(f"{title}: report", sections))


def write_picture(path: str | os.PathLike[str], panels: Sequence[Panel]) -> None:
    """Writes the curves over iterations of all panels as one PNG image.

    Args:
      path: the file, replaced atomically.
      panels: the cells with results; at least one panel.

    Raises:
      ValueError: there are no panels.
      OSError: the file cannot be written.
    """
    if not panels:
        raise ValueError("a picture of a sweep needs a cell with results.")
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(rows, columns, squeeze=False).ravel()
        for part, panel in zip(parts, panels, strict=False):
            part.suptitle(panel.title, fontsize="medium")
            drawn = _curves(panel, "iteration", 1.0)
            bands.add_bands(part, _bands(panel, drawn), drawn, "iteration", _label(panel))

    # The title takes a line of the figure's height.
    size = (columns * svg.WIDTH, rows * (bands.HEIGHT + 24 + 18 * (max(_legend_rows(p) for p in panels))))
    with png.collecting_images() as images:
        svg.render(_PICTURE, "Convergence in a sweep", size[1], draw, size[0])
    write_atomically(Path(path), images[_PICTURE])


def _legend_rows(panel: Panel) -> int:
    return (len(panel.series) + 1) // 2


def _make_section(index: int, panel: Panel) -> list[str]:
    """Returns the heading and the figures of a panel as HTML."""
    known = [axis for axis in axes.AXES if _largest(panel, axis) > 0.0] or ["iteration"]
    figures = [_make_figure(index, panel, axis) for axis in known]
    return [f"<h2>{html.escape(panel.title)}</h2>", page.make_grid(figures)]


def _make_figure(index: int, panel: Panel, axis: str) -> str:
    divisor, label = axes.choose_unit(axis, _largest(panel, axis))
    drawn = _curves(panel, axis, divisor)
    name = f"panel-{index}-{axis.replace('_', '-')}"
    image = bands.draw_bands(name, _bands(panel, drawn), drawn, label, _label(panel))
    captions = {
        "iteration": "Means over seeds with their bands, and each seed as a thin line.",
        "episodes": "Episodes of one run: those played to train its best responses.",
        "wall_seconds": "Seconds of one run, while others may have run beside it.",
    }
    return page.make_figure(axes.AXES[axis][0], image, captions[axis])


def _largest(panel: Panel, axis: str) -> float:
    return max(seed.metrics[-1].get(axis, 0.0) for each in panel.series for seed in each.seeds)


def _label(panel: Panel) -> str:
    """Returns the label of the y axis: the measure of convergence with its unit."""
    names = dict.fromkeys(each.measure for each in panel.series)
    return f"{' or '.join(map(formats.name_column, names))} (game units)"


def _curves(panel: Panel, axis: str, divisor: float) -> list[list[Curve]]:
    return [
        [
            Curve(
                [row.get(axis, math.nan) / divisor for row in seed.metrics],
                [_settled(row.get(each.measure, math.nan)) for row in seed.metrics],
                seed.has_converged,
            )
            for seed in each.seeds
        ]
        for each in panel.series
    ]


def _settled(value: float) -> float:
    return 0.0 if abs(value) < _ZERO else value


def _bands(panel: Panel, drawn: Sequence[Sequence[Curve]]) -> list[Band]:
    return [bands.make_band(each.label, own) for each, own in zip(panel.series, drawn, strict=True)]


def _make_tiles(series: Sequence[Series], failures: Mapping[str, str]) -> list[page.Tile]:
    seeds = [seed for each in series for seed in each.seeds]
    done = sum(seed.outcome == "done" for seed in seeds)
    wall = sum(seed.metrics[-1]["wall_seconds"] for seed in seeds)
    steps = sum(seed.metrics[-1].get("env_steps", 0.0) for seed in seeds)
    return [
        page.Tile("Cells", str(len(series)), "with results"),
        page.Tile("Runs", str(done), f"done; {len(failures)} failed"),
        page.Tile("Time", formats.format_duration(wall), "of all runs together"),
        page.Tile("Env steps", f"{steps:,.0f}", "of all runs together"),
    ]


def _explain(series: Sequence[Series]) -> str:
    """Returns the sentences that explain bands, as HTML."""
    if all(len(each.seeds) < 2 for each in series):
        return "Cells with one seed have no band."
    return (
        "Bands are 95&nbsp;% confidence intervals of the mean over seeds, by Student’s t, cut off at 0. A "
        "curve ends where the first of its runs ends that has not converged; the last value of a run that "
        "has converged holds for good."
    )


def _make_ends(series: Sequence[Series]) -> str:
    """Returns a table with the final values of each cell as HTML."""
    header = ["cell", "measure", "mean ± 95&nbsp;%", "runs", "iterations", "env steps", "time of a run"]
    rows = []
    for each in series:
        last = [seed.metrics[-1] for seed in each.seeds]
        links = (
            f'<a href="{html.escape(each.directory)}/seed_{seed.seed}/report.html">{seed.seed}</a>'
            for seed in each.seeds
        )
        fewest, most = (int(choose(row["iteration"] for row in last)) for choose in (min, max))
        rows.append(
            [
                html.escape(each.name),
                formats.name_column(each.measure),
                describe_end(each.seeds, each.measure),
                " ".join(links),
                str(most) if fewest == most else f"{fewest} to {most}",
                f"{sum(row.get('env_steps', 0.0) for row in last) / len(last):,.0f}",
                formats.format_duration(sum(row["wall_seconds"] for row in last) / len(last)),
            ]
        )
    return page.make_number_table(header, rows)
