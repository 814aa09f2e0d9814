"""Checkpoints of one agent's run: arrays and JSON, by Orbax, never pickles.

A checkpoint is a directory named by the actor steps it was made at. Orbax writes it under another name and
renames it, so a run killed at any moment leaves the one before it whole.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

_KEPT = 2


class CheckpointError(ValueError):
    """No checkpoint can be used; the message is one line for the user."""


class Saved(NamedTuple):
    """What a run goes on from.

    Attributes:
      state: of the learner, as its `save` returned it.
      counts: of steps, episodes and seconds, by name.
    """

    state: Any
    counts: dict[str, float]


class Checkpoints:
    """The checkpoints in a directory, the newest few of which are kept."""

    def __init__(self, directory: Path) -> None:
        logging.getLogger("absl").setLevel(logging.ERROR)
        options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def save(self, saved: Saved) -> None:
        """Writes a checkpoint, unless there is one at these actor steps already.

        Only states that are finite are worth keeping, and the learner holds no others.
        """
        step = int(saved.counts.get("actor_steps", 0))
        if step in self._manager.all_steps():
            return
        leaves = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(saved.state))}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(leaves), counts=ocp.args.JsonSave(saved.counts)
            ),
        )

    def restore(self, like: Any) -> Saved | None:
        """The newest checkpoint that can be read, or None where there is none at all.

        Args:
          like: a learner's state; the checkpoint must have been made of one of the same shapes.

        Raises:
          CheckpointError: there are checkpoints, but none is whole and of this agent.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            with contextlib.suppress(Exception):
                return self._read(step, like)
        if steps:
            raise CheckpointError(
                f"none of the {len(steps)} checkpoints can be read as this agent's; start again in another "
                "--output_dir."
            )
        return None

    def read_counts(self) -> dict[str, float]:
        """The counts of the newest checkpoint; empty where there is none."""
        step = self._manager.latest_step()
        if step is None:
            return {}
        read = self._manager.restore(step, args=ocp.args.Composite(counts=ocp.args.JsonRestore()))
        return dict(read.counts)

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()

    def _read(self, step: int, like: Any) -> Saved:
        leaves, structure = jax.tree.flatten(like)
        template = {str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)}
        read = self._manager.restore(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(template), counts=ocp.args.JsonRestore()),
        )
        found = [np.asarray(read.state[str(i)]) for i in range(len(leaves))]
        for leaf, new in zip(leaves, found, strict=True):
            if np.shape(leaf) != new.shape or np.asarray(leaf).dtype != new.dtype:
                raise ValueError("another shape")
        return Saved(jax.tree.unflatten(structure, found), dict(read.counts))


@contextlib.contextmanager
def open_checkpoints(directory: Path) -> Iterator[Checkpoints]:
    """The checkpoints in a directory, closed at the end."""
    checkpoints = Checkpoints(directory)
    try:
        yield checkpoints
    finally:
        checkpoints.close()
