"""History of a population for its report: a bounded number of interaction graphs, and the last values.

Dimensions: `E` recorded epochs, `P` = 2 players, `N` members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from acme_psro.neupl.values import Values
from acme_psro.oracles.base import Memory

# Names of a history's arrays in an oracle's memory begin with this.
PREFIX = "history_"
# If there are more graphs, every second one is dropped, and from then on half as many are recorded.
_MOST = 32


class History(NamedTuple):
    """Graphs in the course of a run.

    Attributes:
      epochs: `[E]` int, the epochs of the graphs, ascending.
      graphs: `[E, P, N, N]` float32.
      stride: epochs between two recorded graphs.
      done: epochs so far.
      gap: `[P, N]`, how much less members earn than exact best responses after the last epoch.
      gain: `[P, N]`, what exact best responses gain over the best members before.
    """

    epochs: np.ndarray
    graphs: np.ndarray
    stride: int
    done: int
    gap: np.ndarray
    gain: np.ndarray


def start(num: int) -> History:
    """Returns the history of a population of `num` members before its first epoch."""
    nothing = np.zeros((2, num))
    return History(np.zeros(0, int), np.zeros((0, 2, num, num), np.float32), 1, 0, nothing, nothing)


def record(history: History, graph: np.ndarray, values: Values) -> History:
    """Returns the history with one more epoch, whose members learned by a graph `[P, N, N]`.

    The newest graph is always there; earlier ones stay if their epochs fit the stride.
    """
    stride, done = history.stride, history.done + 1
    epochs = np.append(history.epochs, done)
    graphs = np.concatenate([history.graphs, graph[None].astype(np.float32)])
    if len(epochs) > _MOST:
        stride *= 2
    stays = ((epochs - 1) % stride == 0) | (epochs == done)
    epochs, graphs = epochs[stays], graphs[stays]
    return History(epochs, graphs, stride, done, values.gap, values.best - values.before)


def to_arrays(history: History) -> dict[str, np.ndarray]:
    """Returns the history as arrays by name."""
    return {name: np.asarray(value) for name, value in history._asdict().items()}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> History:
    """Returns the history from `to_arrays`.

    Raises:
      KeyError: an array is missing.
    """
    return History(
        arrays["epochs"],
        arrays["graphs"],
        int(arrays["stride"]),
        int(arrays["done"]),
        arrays["gap"],
        arrays["gain"],
    )


def read_history(memory: Memory) -> History | None:
    """Returns the history in an oracle's memory; None if the memory has none."""
    found = {name.removeprefix(PREFIX): array for name, array in memory.items() if name.startswith(PREFIX)}
    return from_arrays(found) if found else None
