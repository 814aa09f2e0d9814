"""Tests of acme_psro.display.formats."""

import math

import pytest

from acme_psro.display import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7320, "2 h 02 min"),
        (math.nan, "-"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert formats.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (2.37361, "2.3736"),
        (-0.25, "-0.2500"),
        (3.2e-9, "3.20e-09"),
        (-123456.0, "-1.23e+05"),
        (math.nan, "-"),
    ],
)
def test_format_value(value: float, text: str) -> None:
    assert formats.format_value(value) == text
    assert len(text) <= 9


@pytest.mark.parametrize(
    ("gaps", "text"),
    [((0.035, 0.016), "3.5 / 1.6 %"), ((math.nan, 0.016), "- / 1.6 %"), ((math.inf,), "-")],
)
def test_format_gaps(gaps: tuple[float, ...], text: str) -> None:
    row = {f"relative_gap_{player}": gap for player, gap in enumerate(gaps)}
    row |= {f"population_{player}": 1 for player in range(len(gaps))}
    assert formats.format_gaps(row) == text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"gain": 0.5}, "0.5000"),
        ({"gain": math.nan}, "-"),
        ({}, "-"),
        ({"gain": 0.5, "gain_stderr": 0.012}, ">= 0.5000 ± 0.0120"),
        # The bound stays below the estimate by some errors.
        ({"gain": 0.5, "gain_stderr": 0.012, "gain_lower": 0.48}, ">= 0.4800 ± 0.0120"),
        ({"gain": -0.01, "gain_stderr": 0.012, "gain_lower": 0.0}, ">= 0.0000 ± 0.0120"),
        # A row of an earlier version in a run that was resumed.
        ({"gain": 0.5, "gain_stderr": 0.012, "gain_lower": math.nan}, ">= 0.5000 ± 0.0120"),
        ({"gain": math.nan, "gain_stderr": math.nan}, "-"),
    ],
)
def test_format_bound(row: dict[str, float], text: str) -> None:
    assert formats.format_bound(row, "gain") == text


def test_sizes_are_those_of_populations_that_grow_or_of_members_that_differ() -> None:
    row = {"population_0": 8.0, "population_1": 9.0}
    assert formats.describe_sizes(row) == ("populations", "8 / 9")
    assert formats.describe_sizes(row | {"effective_size": 5.0}) == ("effective size", "5 of 8")
    assert not formats.has_members(row)


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("nash_conv", "NashConv"),
        ("cce_gap", "CCE gap"),
        ("ce_gap", "CE gap"),
        ("population_exploitability", "population exploitability"),
    ],
)
def test_columns_have_one_name_everywhere(column: str, name: str) -> None:
    assert formats.name_column(column) == name
