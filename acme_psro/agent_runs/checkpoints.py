"""Checkpoints of one agent's run: arrays and JSON, by Orbax, never pickles.

A checkpoint is a directory named by the actor steps it was made at. Orbax writes it under another name and
renames it, so a run killed at any moment leaves the one before it whole. A digest of everything in it tells
whether it is still what was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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


class _Whole(NamedTuple):
    """A checkpoint as it was written: arrays, what they are, and counts."""

    arrays: list[np.ndarray]
    form: list[Any]
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
        arrays, form = [np.asarray(leaf) for leaf in jax.tree.leaves(saved.state)], _form(saved.state)
        about = {
            "counts": saved.counts,
            "form": form,
            "digest": _digest(_Whole(arrays, form, saved.counts)),
        }
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_by_number(arrays)), about=ocp.args.JsonSave(about)
            ),
        )

    def restore(self, like: Any) -> Saved | None:
        """The newest checkpoint that is whole, or None where there is none at all.

        Newer ones that are not whole are deleted: they would keep others from being written.

        Args:
          like: a learner's state, or its shapes and types; the checkpoint must have been made of one like it.

        Raises:
          CheckpointError: there are checkpoints, but none is whole, or it is of another agent.
        """
        step, whole = self._newest()
        if whole is None:
            return None
        if whole.form != _form(like):
            raise CheckpointError(
                f"checkpoint {step} is of another agent or of other networks; start again in another "
                "--output_dir."
            )
        for broken in [newer for newer in self._manager.all_steps() if newer > step]:
            self._manager.delete(broken)
        return Saved(jax.tree.unflatten(jax.tree.structure(like), whole.arrays), whole.counts)

    def read_counts(self) -> dict[str, float]:
        """The counts of the checkpoint that `restore` would return; empty where there is none.

        Raises:
          CheckpointError: there are checkpoints, but none is whole.
        """
        _, whole = self._newest()
        return {} if whole is None else whole.counts

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()

    def _newest(self) -> tuple[int, _Whole | None]:
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            # Whatever can be wrong with a file: Orbax raises what its parts do.
            with contextlib.suppress(Exception):
                return step, self._read(step)
        if steps:
            raise CheckpointError(
                f"none of the {len(steps)} checkpoints is whole: they were truncated or altered; start again "
                "in another --output_dir."
            )
        return 0, None

    def _read(self, step: int) -> _Whole:
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
        template = [np.empty(shape, dtype) for _, dtype, shape in about["form"]]
        restored = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(_by_number(template)))
        ).state
        arrays = [np.asarray(restored[str(number)]) for number in range(len(template))]
        whole = _Whole(arrays, about["form"], about["counts"])
        if _digest(whole) != about["digest"]:
            raise ValueError("altered")
        return whole


@contextlib.contextmanager
def open_checkpoints(directory: Path) -> Iterator[Checkpoints]:
    """The checkpoints in a directory, closed at the end."""
    checkpoints = Checkpoints(directory)
    try:
        yield checkpoints
    finally:
        checkpoints.close()


def _by_number(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {str(number): array for number, array in enumerate(arrays)}


def _form(state: Any) -> list[Any]:
    """Of every array its place in the state, type and shape, as JSON has them."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [[jax.tree_util.keystr(path), str(leaf.dtype), list(leaf.shape)] for path, leaf in leaves]


def _digest(whole: _Whole) -> str:
    digest = hashlib.sha256(json.dumps([whole.form, whole.counts], sort_keys=True).encode())
    for array in whole.arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
