"""Tests of the choice of devices among which a learner splits its batches."""

import logging

import pytest

from agents.devices import choose_devices


@pytest.mark.parametrize(
    ("available", "rows", "used"),
    [
        (1, 256, 1),
        (2, 256, 2),
        (3, 256, 2),
        (4, 256, 4),
        (5, 256, 4),
        (6, 256, 4),
        (7, 256, 4),
        (8, 256, 8),
        (3, 96, 3),
        (6, 96, 6),
        # A prime number of rows is not split at all, and neither is a single one.
        (4, 257, 1),
        (4, 1, 1),
        (8, 4, 4),
    ],
)
def test_most_devices_that_divide_the_batch_are_used(
    available: int, rows: int, used: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_devices(range(available), rows) == list(range(used))
    message = (
        f"the learner uses {used} of {available} devices, the most that can share a batch of {rows} evenly; "
        f"a multiple of {available} would use all."
    )
    said = [record.getMessage() for record in caplog.records]
    assert said == ([message] if used < available else [])
