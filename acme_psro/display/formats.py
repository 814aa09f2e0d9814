"""Metrics rows as text: numbers, durations and best-response gaps in a few characters."""

from __future__ import annotations

import math
from collections.abc import Mapping

# One row of metrics.csv: values by column name.
Row = Mapping[str, float]

# Names of columns that are not their spelling with spaces.
_NAMES = {"cce_gap": "CCE gap", "ce_gap": "CE gap", "nash_conv": "NashConv"}


def count_players(row: Row) -> int:
    """Returns the number of players in a metrics row, counted by its columns `population_0`, ...."""
    players = 0
    while f"population_{players}" in row:
        players += 1
    return players


def is_bounded(row: Row) -> bool:
    """Returns True if a metrics row holds lower bounds with standard errors instead of exact values."""
    return "nash_conv_stderr" in row


def is_correlated(row: Row) -> bool:
    """Returns True if a metrics row is of a joint distribution, from which players deviate alone."""
    return "cce_gap" in row


def measure_of(row: Row) -> str:
    """Returns the column by which the convergence of a run is measured."""
    return "cce_gap" if is_correlated(row) else "exploitability"


def convergence_columns(row: Row) -> dict[str, str]:
    """Returns the columns that measure convergence, one or two, with their titles.

    The gap of correlated equilibria is not computed on graphs if none is sought.
    """
    columns = ("cce_gap", "ce_gap") if is_correlated(row) else ("nash_conv", "exploitability")
    return {column: name_column(column) for column in columns if column in row}


def name_column(column: str) -> str:
    """Returns the name of a column of metrics, as texts and figures have it."""
    return _NAMES.get(column, column.replace("_", " "))


def capitalise(text: str) -> str:
    """Returns a text that begins with a capital letter, and is as it was behind it."""
    return text[0].upper() + text[1:]


def relative_gap(row: Row, player: int) -> float:
    """Returns the share of the exact gain that a learned best response misses; nan if not known."""
    return float(row.get(f"relative_gap_{player}", math.nan))


def format_value(value: float) -> str:
    """Returns a game value (NashConv, a gain) in at most 9 characters; `-` if it is not finite."""
    if not math.isfinite(value):
        return "-"
    # Fixed-point notation would print small values as zero and let large ones overflow their column.
    if value == 0.0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.2e}"


def format_bound(row: Row, name: str) -> str:
    """Returns a value of a row; if it is only a lower bound, in the form `>= 0.1230 ± 0.0040`.

    Args:
      row: a metrics row.
      name: the value's column. The column `{name}_stderr`, if there is one, holds the standard error, and
        `{name}_lower` the bound. In rows of earlier versions, the values themselves are the bounds.
    """
    value, error = row.get(name, math.nan), row.get(f"{name}_stderr", math.nan)
    # Rows of an earlier version in a run that was resumed have the column, but not its value.
    bound = row.get(f"{name}_lower", math.nan)
    value = bound if math.isfinite(bound) else value
    text = format_value(value)
    return f">= {text} ± {format_value(error)}" if math.isfinite(value) and math.isfinite(error) else text


def format_percent(fraction: float) -> str:
    """Returns a fraction as a percentage, e.g. 0.035 as `3.5 %`; `-` if it is not finite."""
    return f"{100 * fraction:.1f} %" if math.isfinite(fraction) else "-"


def format_duration(seconds: float) -> str:
    """Returns a duration in its two largest units, e.g. `4 min 05 s`; `-` if it is not finite."""
    if not math.isfinite(seconds):
        return "-"
    # From 59.95 on, one decimal would round up to "60.0 s".
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_gaps(row: Row) -> str:
    """Returns the relative best-response gap of each player, e.g. `3.5 / 1.6 %`."""
    gaps = [relative_gap(row, player) for player in range(count_players(row))]
    texts = [f"{100 * gap:.1f}" if math.isfinite(gap) else "-" for gap in gaps]
    return " / ".join(texts) + (" %" if any(map(math.isfinite, gaps)) else "")


def has_members(row: Row) -> bool:
    """Returns True if a metrics row is of populations of a fixed size, whose members all keep learning."""
    return "effective_size" in row


def is_never_known(row: Row) -> bool:
    """Returns True if nothing is known of a row's exploitability, and no later response will tell of it.

    Members of populations of a fixed size keep learning, so that the next ones do not respond to the mixture.
    """
    return has_members(row) and is_bounded(row) and math.isnan(row["nash_conv"])


def describe_sizes(row: Row) -> tuple[str, str]:
    """Returns the name and the text of the sizes of a row's populations, for headings and cells.

    Populations that do not grow have the number of different members instead, e.g. `5 of 8`.
    """
    if has_members(row):
        return "effective size", f"{row['effective_size']:.0f} of {row['population_0']:.0f}"
    return "populations", format_populations(row)


def format_populations(row: Row) -> str:
    """Returns the population size of each player, e.g. `10 / 10`."""
    return " / ".join(f"{row[f'population_{player}']:.0f}" for player in range(count_players(row)))
