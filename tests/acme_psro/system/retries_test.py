"""Tests of the limits on relaunches."""

from __future__ import annotations

from typing import Any

import pytest

from acme_psro.system.retries import Ends, Retries


def test_waits_grow_to_a_limit() -> None:
    retries = Retries(most=9, first_wait=1.0, factor=3.0, most_wait=20.0)
    assert [retries.wait(ends) for ends in (1, 2, 3, 4, 10_000)] == [1.0, 3.0, 9.0, 20.0, 20.0]


def test_failures_and_losses_are_counted_apart() -> None:
    ends = Ends().add(is_loss=False).add(is_loss=True).add(is_loss=True)
    assert ends == Ends(failures=1, losses=2)
    retries = Retries(first_wait=1.0, factor=2.0)
    assert retries.describe(ends, is_loss=True) == "launching it again in 4 s (2 of 12)"
    assert retries.describe(ends, is_loss=False) == "launching it again in 4 s (1 of 3)"


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (Ends(3, 12), None),
        (Ends(4, 0), "launched 4 times without getting on"),
        (Ends(1, 13), "lost 13 times without getting on"),
    ],
)
def test_each_kind_has_a_limit(ends: Ends, expected: str | None) -> None:
    assert Retries().give_up(ends) == expected


def test_a_job_that_is_never_launched_again_needs_no_words() -> None:
    never = Retries(most=0, most_lost=0)
    assert never.give_up(Ends(failures=1)) == never.give_up(Ends(losses=1)) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"most": -1},
        {"most_lost": -1},
        {"first_wait": -1.0},
        {"factor": 0.5},
        {"first_wait": 2.0, "most_wait": 1.0},
    ],
)
def test_retries_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="retries need most >= 0"):
        Retries(**wrong)
