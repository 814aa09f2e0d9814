"""Choice of the devices among which a learner splits its batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

_LOG = logging.getLogger(__name__)

DeviceT = TypeVar("DeviceT")


def choose_devices(devices: Sequence[DeviceT], rows: int) -> list[DeviceT]:
    """Returns the largest number of devices among which a batch can be split evenly, the first ones.

    Uneven parts are no choice: padding would change the batch statistics that some agents learn from. If
    devices remain idle, a warning tells which batch would use all of them.

    Args:
      devices: the devices that the process sees, at least one.
      rows: number of rows of a batch.
    """
    most = next(number for number in range(min(len(devices), rows), 0, -1) if rows % number == 0)
    if most < len(devices):
        _LOG.warning("%s.", describe_split(most, len(devices), rows))
    return list(devices[:most])


def describe_split(used: int, available: int, rows: int) -> str:
    """Returns a phrase that says why a learner leaves devices idle, and what would use all of them.

    Args:
      used: number of devices that the learner uses, less than `available`.
      available: number of devices that the process sees.
      rows: number of rows of a batch, decisions or sequences.
    """
    return (
        f"the learner uses {used} of {available} devices, the most that can share a batch of {rows} evenly; "
        f"a multiple of {available} would use all"
    )
