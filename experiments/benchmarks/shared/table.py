"""Measurement of times, and printing of tables, ratios, bars and the machine."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from absl import flags

from acme_psro.system import cores


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows under their column names, with the first column aligned left and the others right.

    Raises:
      ValueError: a row has more or fewer cells than there are columns.
    """
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(f"row {index} has {len(row)} cells for {len(columns)} columns.")
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for line in (columns, ["-" * width for width in widths], *rows):
        cells = [
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    print(flush=True)


def print_machine() -> None:
    """Prints the machine and the versions that the measurements were made with."""
    versions = [
        f"{name} {importlib.metadata.version(package)}"
        for name, package in (("JAX", "jax"), ("OpenSpiel", "open_spiel"))
    ]
    print(
        f"machine: {_cpu_model()}, {cores.count()} cores; Python {platform.python_version()}, "
        + ", ".join(versions),
        flush=True,
    )


def print_bar(what: str, met: bool | None) -> None:
    """Prints whether a bar is met.

    Args:
      what: description of the bar and of the measured value.
      met: None if the bar does not apply to this measurement.
    """
    verdict = {True: "met", False: "MISSED", None: "not judged"}[met]
    print(f"bar: {what}: {verdict}", flush=True)


def _cpu_model() -> str:
    """Returns the name of the CPU, as far as the system knows it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def check_counts(*names: str) -> None:
    """Checks flags whose values are counts.

    Raises:
      ValueError: a flag is given and below 1.
    """
    for name in names:
        value = getattr(flags.FLAGS, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, not {value}.")


def speedup(ours: float, theirs: float) -> str:
    """Formats their seconds divided by ours; a ratio below 1 is marked as lost."""
    ratio = theirs / ours
    return f"{ratio:,.1f} times" if ratio >= 1 else f"LOST: {1 / ratio:,.1f} times slower"


def seconds(value: float) -> str:
    """Formats a duration in seconds or milliseconds."""
    if value < 1:
        return f"{value * 1e3:,.3f} ms"
    return f"{value:,.2f} s"


def medians(sides: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Returns the median seconds of each side over the repetitions.

    The sides take turns, so that a change of the machine's speed affects all of them.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in taken.items()}
