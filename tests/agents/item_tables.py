"""Reverb servers for tests, whose tables can be emptied and compared item by item."""

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np
import reverb
import tree

from agents.acme_layer import replay as replays
from agents.acme_layer.replay import ReplayConfig

# Type, shape and bytes of each column. Bytes compare NaN and signed zeros too, and can be counted.
Item = tuple[tuple[str, tuple[int, ...], bytes], ...]


@contextlib.contextmanager
def serve(
    replay: ReplayConfig, spec: Any, limiter: Any = None, extras: Any = None
) -> Iterator[reverb.Client]:
    """Runs a server with the replay's table, except that every item can be sampled once, in order.

    Args:
      replay: the replay's configuration.
      spec: the environment's spec, which determines the columns.
      limiter: rate limiter of the table; by default, samples wait only for a first item.
      extras: specs of the decisions' extras, as for `agents.acme_layer.replay.make_table`.

    Yields:
      A client of the server.
    """
    table = reverb.Table(
        name=replay.table_name,
        sampler=reverb.selectors.Fifo(),
        remover=reverb.selectors.Fifo(),
        max_size=100_000,
        max_times_sampled=1,
        rate_limiter=limiter or reverb.rate_limiters.MinSize(1),
        signature=replays.make_table(replay, spec, extras).info.signature,
    )
    server = reverb.Server([table])
    try:
        yield reverb.Client(f"localhost:{server.port}")
    finally:
        server.stop()


def take_items(client: reverb.Client, replay: ReplayConfig) -> list[Item]:
    """Removes and returns all items, in the order in which they were inserted."""
    size = client.server_info()[replay.table_name].current_size
    samples = client.sample(replay.table_name, size, emit_timesteps=False, unpack_as_table_signature=True)
    return [tuple(map(_column, tree.flatten(sample.data))) for sample in samples] if size else []


def count(items: list[Item]) -> "collections.Counter[Item]":
    """Returns the count of each item."""
    return collections.Counter(items)


def _column(leaf: Any) -> tuple[str, tuple[int, ...], bytes]:
    array = np.asarray(leaf)
    return str(array.dtype), array.shape, array.tobytes()
