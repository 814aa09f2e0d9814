"""Report of several seeds as one HTML file: means with confidence bands, and a table of the seeds' ends."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from acme_psro.display import axes, bands, formats, page
from acme_psro.display.formats import Row
from acme_psro.system import surroundings
from acme_psro.system.files import write_atomically

# Columns of metrics that are drawn and listed, unless the players' policies are drawn together.
_QUANTITIES = ("exploitability", "population_exploitability")


class SeedProgress(NamedTuple):
    """One seed's run.

    Attributes:
      seed: the seed.
      metrics: the rows of metrics.csv, beginning with the initial population; at least one.
      outcome: one or two sentences on how the run ended, or that it is still running.
      has_converged: True if no player can gain any more.
    """

    seed: int
    metrics: Sequence[Row]
    outcome: str
    has_converged: bool


def write_seeds_report(
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, object],
    seeds: Sequence[SeedProgress],
    outcome: str,
) -> None:
    """Writes the report of several seeds as one HTML file that needs no other file, script or network.

    Args:
      path: the file to write, replaced atomically. It links to the seeds' own reports, in `seed_N`.
      config: the configuration of any of the runs; they differ in their seeds only.
      seeds: the runs that have begun; at least one.
      outcome: one or two sentences on how far the runs are.

    Raises:
      ValueError: no run has begun.
      OSError: the file cannot be written.
    """
    if not seeds or not all(seed.metrics for seed in seeds):
        raise ValueError("a report of seeds needs at least one seed, and a row of metrics of each.")
    title = str(config.get("game", "unnamed game"))
    settings = {name: value for name, value in config.items() if name not in (surroundings.KEY, "seed")}
    names = ", ".join(str(seed.seed) for seed in seeds)
    about = [f"{key} {config[key]}" for key in ("loop", "oracle", "agent", "meta_solver") if key in config]
    sections = [
        page.make_head(title, " · ".join([*about, f"seeds {names}"]), outcome, _make_tiles(seeds)),
        "<h2>Mean over seeds</h2>",
        page.make_grid([_make_figure(column, seeds) for column in axes.AXES]),
        page.make_note(_explain(seeds)),
        f"<h2>Seeds</h2>{_make_ends(seeds)}",
        f"<h2>Configuration</h2>{page.make_config_table(settings)}",
    ]
    write_atomically(path, page.make_page(f"{title}: report of {len(seeds)} seeds", sections))


def known_quantities(seeds: Sequence[SeedProgress]) -> dict[str, str]:
    """Returns the columns that all seeds know in their last rows, with their names."""
    last = seeds[0].metrics[-1]
    columns = formats.convergence_columns(last) if formats.is_correlated(last) else _QUANTITIES
    return {
        column: formats.name_column(column)
        for column in columns
        if all(math.isfinite(seed.metrics[-1].get(column, math.nan)) for seed in seeds)
    }


def describe_end(seeds: Sequence[SeedProgress], column: str) -> str:
    """Returns the mean of a column's last values with its margin, such as `0.1230 ± 0.0040`."""
    values = np.array([seed.metrics[-1].get(column, math.nan) for seed in seeds], np.float64)
    mean, margin = bands.mean_and_margin(values)
    text = formats.format_value(float(mean))
    return f"{text} ± {formats.format_value(float(margin))}" if math.isfinite(margin) else text


def _make_tiles(seeds: Sequence[SeedProgress]) -> list[page.Tile]:
    detail = f"mean of {len(seeds)} seeds, 95&nbsp;%"
    tiles = [
        page.Tile(formats.capitalise(name), describe_end(seeds, column), detail)
        for column, name in known_quantities(seeds).items()
    ]
    last = [seed.metrics[-1] for seed in seeds]
    fewest, most = (int(choose(row["iteration"] for row in last)) for choose in (min, max))
    iterations = str(most) if fewest == most else f"{fewest} to {most}"
    wall = formats.format_duration(max(row["wall_seconds"] for row in last))
    episodes = f"{sum(row['episodes'] for row in last):,.0f}"
    return [
        *tiles,
        page.Tile("Iterations", iterations, "of each seed"),
        page.Tile("Wall time", wall, "of all seeds together"),
        page.Tile("Episodes", episodes, "of all seeds together"),
    ]


def _make_figure(axis: str, seeds: Sequence[SeedProgress]) -> str:
    """Returns the figure of all quantities over a column of metrics as HTML."""
    divisor, label = axes.choose_unit(axis, max(seed.metrics[-1][axis] for seed in seeds))
    quantities = known_quantities(seeds)
    drawn = [
        [
            bands.Curve(
                [row[axis] / divisor for row in seed.metrics],
                [row.get(column, math.nan) for row in seed.metrics],
                seed.has_converged,
            )
            for seed in seeds
        ]
        for column in quantities
    ]
    means = [bands.make_band(name, own) for name, own in zip(quantities.values(), drawn, strict=True)]
    svg = bands.draw_bands(f"seeds-{axis.replace('_', '-')}", means, drawn, label, "game units")
    captions = {
        "iteration": "The mean over seeds, its confidence band, and each seed as a thin line.",
        "episodes": "Episodes of one seed: those played to train its best responses.",
        "wall_seconds": "Seconds since the start of the process, which the seeds share.",
    }
    return page.make_figure(axes.AXES[axis][0], svg, captions[axis])


def _explain(seeds: Sequence[SeedProgress]) -> str:
    """Returns the sentences that explain bands, as HTML."""
    if len(seeds) < 2:
        return "One seed has no band."
    return (
        f"Bands are 95&nbsp;% confidence intervals of the mean, by Student’s t with {len(seeds) - 1} degrees "
        "of freedom, cut off at 0: with values that are normally distributed among seeds, 95 of 100 such "
        "intervals hold the mean of all possible seeds. A value holds until a run’s next iteration. Curves "
        "end where the first run ends that has not converged; the last value of a run that has converged "
        "holds for good."
    )


def _make_ends(seeds: Sequence[SeedProgress]) -> str:
    """Returns a table with the last row of each seed, and the mean, as HTML."""
    quantities = known_quantities(seeds)
    header = ["seed", *quantities.values(), "NashConv", "iterations", "episodes", "wall time", "end"]
    rows = []
    for seed in seeds:
        last = seed.metrics[-1]
        rows.append(
            [
                f'<a href="seed_{seed.seed}/report.html">{seed.seed}</a>',
                *(formats.format_value(last[column]) for column in quantities),
                formats.format_value(last["nash_conv"]),
                f"{last['iteration']:.0f}",
                f"{last['episodes']:,.0f}",
                formats.format_duration(last["wall_seconds"]),
                html.escape(seed.outcome.split(":")[0].rstrip(".")),
            ]
        )
    if len(seeds) > 1:
        ends = [describe_end(seeds, column) for column in (*quantities, "nash_conv")]
        rows.append(["mean ± 95&nbsp;%", *ends, "", "", "", ""])
    return page.make_number_table(header, rows)
