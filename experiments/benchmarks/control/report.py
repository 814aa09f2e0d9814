"""Printing of the control benchmark: a table for each task, and bars."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.benchmarks.control.runs import Result, Settings
from experiments.benchmarks.shared import table

_NAMES = {
    "crossq": "acme_psro CrossQ",
    "conditional_mpo": "acme_psro MPO",
    "sbx": "sbx-rl CrossQ",
    "acme_sac": "Acme SAC",
}


class Bar(NamedTuple):
    """Requirement on an agent in comparison with a peer. Mean returns are compared without error margins.

    Attributes:
      peer: the side to compare with.
      is_strict: True if the mean return must be above the peer's; otherwise it may be equal.
      has_time: True if training must not take longer than the peer's.
    """

    peer: str
    is_strict: bool
    has_time: bool


BARS = {
    "crossq": (Bar("sbx", is_strict=False, has_time=True), Bar("acme_sac", is_strict=True, has_time=False)),
    "conditional_mpo": (Bar("acme_sac", is_strict=False, has_time=False),),
}

# The results of finished runs, by side and then by seed.
Results = Mapping[str, Mapping[int, Result]]


def print_task(task: str, sides: Results, settings: Settings, judged: str) -> None:
    """Prints the table of a task and the bars of the agent of `--judged`."""
    rows = []
    for side, runs in sides.items():
        done = list(runs.values())
        cells = [mean_and_error([each.returns[mark] for each in done]) for mark in settings.marks]
        training = mean_and_error([each.training_seconds for each in done])
        evaluation = mean_and_error([each.evaluation_seconds for each in done])
        rows.append([_NAMES[side], str(len(done)), *cells, training, evaluation])
    columns = ["mean return ± standard error", "seeds", *(f"at {mark:,}" for mark in settings.marks)]
    print(task)
    table.print_table([*columns, "training s", "evaluation s"], rows)
    print_bars(task, sides, judged)
    print()


def mean_and_error(values: Sequence[float]) -> str:
    """Formats mean and standard error; only the mean for one value, and a dash for no value."""
    if len(values) < 2:
        return f"{values[0]:,.1f}" if values else "-"
    return f"{statistics.mean(values):,.1f} ± {_error(values):,.1f}"


def _error(values: Sequence[float]) -> float:
    """Returns the standard error of the mean, or 0 for fewer than two values."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def print_bars(task: str, sides: Results, judged: str) -> None:
    """Prints the bars of a side against each of its peers, over the seeds that both have finished."""
    for bar in BARS[judged]:
        both = sides.get(judged, {}), sides.get(bar.peer, {})
        seeds = sorted(both[0].keys() & both[1].keys())
        over = f"{len(seeds)} seeds" if len(seeds) != 1 else "1 seed"
        asked = "above" if bar.is_strict else "at or above"
        what = f"{task}, {_NAMES[judged]}'s mean return {asked} {_NAMES[bar.peer]}'s, {over}"
        if not seeds:
            print(f"bar: {what}: not measured")
            continue
        returns = [[each[seed].final_return for seed in seeds] for each in both]
        lead = statistics.mean(returns[0]) - statistics.mean(returns[1])
        error = f"{math.hypot(*map(_error, returns)):,.1f}" if len(seeds) > 1 else "unknown"
        met = lead > 0 if bar.is_strict else lead >= 0
        table.print_bar(f"{what}: {lead:+,.1f}, standard error {error}", met)
        if bar.has_time:
            times = [statistics.mean(each[seed].training_seconds for seed in seeds) for each in both]
            shorter = f"{times[0]:,.0f} s against {times[1]:,.0f} s, {table.speedup(*times)}"
            longest = f"{task}, training no longer than {_NAMES[bar.peer]}'s, {over}"
            table.print_bar(f"{longest}: {shorter}", times[0] <= times[1])
