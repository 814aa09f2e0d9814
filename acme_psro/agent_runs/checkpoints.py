"""Checkpoints of a run of one agent.

Orbax stores them as arrays and JSON, and pickle is never used. A checkpoint is a directory whose name is the
number of actor steps at which it was made. Orbax writes it under a temporary name and then renames it, so the
previous checkpoint stays intact if the run is killed at any moment. Each checkpoint holds a SHA-256 digest of
its content, with which truncated or altered checkpoints are detected.
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

# If the newest checkpoint is damaged, a run can still be resumed from the one before it.
_MAX_TO_KEEP = 2


class CheckpointError(ValueError):
    """Raised if no checkpoint can be used. The message is one line for the user."""


class Saved(NamedTuple):
    """State from which a run is resumed.

    Attributes:
      state: state of the learner, a pytree of arrays, as the learner's `save` returns it.
      counts: counts of steps, episodes and seconds, by name.
    """

    state: Any
    counts: dict[str, float]


class _Content(NamedTuple):
    """Complete content of a checkpoint, from which its digest is computed.

    Attributes:
      arrays: leaves of the learner's state, in the order of `jax.tree.leaves`.
      form: path, type and shape of each array, see `_form`.
      counts: counts of steps, episodes and seconds, by name.
    """

    arrays: list[np.ndarray]
    form: list[Any]
    counts: dict[str, float]


class _Numbered(NamedTuple):
    """Checkpoint with its number of actor steps.

    Attributes:
      step: number of actor steps at which it was made.
      content: what it holds.
    """

    step: int
    content: _Content


class Checkpoints:
    """Reader and writer of the checkpoints in a directory. Only the newest few are kept."""

    def __init__(self, directory: Path) -> None:
        """Opens the directory.

        Args:
          directory: directory of the checkpoints, which is created if it does not exist.
        """
        # Orbax logs every save, which would hide the progress of the run, and every error that it raises.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        options = ocp.CheckpointManagerOptions(max_to_keep=_MAX_TO_KEEP, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def save(self, saved: Saved) -> None:
        """Writes a checkpoint, unless there is already one with this number of actor steps.

        The state is not checked for NaNs, because the learner only holds finite states.
        """
        step = int(saved.counts.get("actor_steps", 0))
        if step in self._manager.all_steps():
            return
        arrays, form = [np.asarray(leaf) for leaf in jax.tree.leaves(saved.state)], _form(saved.state)
        about = {
            "counts": saved.counts,
            "form": form,
            "digest": _digest(_Content(arrays, form, saved.counts)),
        }
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_by_number(arrays)), about=ocp.args.JsonSave(about)
            ),
        )

    def restore(self, like: Any, *, keep_damaged: bool = False) -> Saved | None:
        """Restores the newest checkpoint that is intact.

        Args:
          like: a state of the learner, or a pytree of its shapes and types. The checkpoint must have the same
            paths, shapes and types.
          keep_damaged: if True, nothing is deleted. Otherwise newer checkpoints that are damaged are, so that
            the run can write others in their place.

        Returns:
          The state and the counts, or None if the directory has no checkpoint.

        Raises:
          CheckpointError: all checkpoints are damaged, or the newest intact one belongs to another agent or
            other networks.
        """
        newest = self._newest()
        if newest is None:
            return None
        step, content = newest
        if content.form != _form(like):
            raise CheckpointError(
                f"checkpoint {step} is of another agent or of other networks; start again in another "
                "--output_dir."
            )
        # Orbax does not write a checkpoint at or before the step of the newest one, damaged or not.
        for broken in [newer for newer in self._manager.all_steps() if newer > step and not keep_damaged]:
            self._manager.delete(broken)
        return Saved(jax.tree.unflatten(jax.tree.structure(like), content.arrays), content.counts)

    def read_counts(self) -> dict[str, float]:
        """Returns the counts of the newest intact checkpoint, or an empty dictionary if there is none.

        Raises:
          CheckpointError: all checkpoints are damaged.
        """
        newest = self._newest()
        return {} if newest is None else newest.content.counts

    def close(self) -> None:
        """Stops the threads of Orbax."""
        self._manager.close()

    def _newest(self) -> _Numbered | None:
        """Returns the newest intact checkpoint, or None if there is no checkpoint at all.

        Raises:
          CheckpointError: all checkpoints are damaged.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            # A damaged file can raise nearly any exception, because Orbax passes on those of its libraries.
            with contextlib.suppress(Exception):
                return _Numbered(step, self._read(step))
        if steps:
            raise CheckpointError(
                f"none of the {len(steps)} checkpoints is whole: they were truncated or altered; start again "
                "in another --output_dir."
            )
        return None

    def _read(self, step: int) -> _Content:
        """Reads a checkpoint and verifies its digest.

        Raises:
          ValueError: the content is not what was written. Orbax raises other exceptions for damaged files.
        """
        # The JSON part comes first, since Orbax needs the shapes and types to restore the arrays.
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
        template = [np.empty(shape, dtype) for _, dtype, shape in about["form"]]
        restored = self._manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(_by_number(template)))
        ).state
        arrays = [np.asarray(restored[str(number)]) for number in range(len(template))]
        content = _Content(arrays, about["form"], about["counts"])
        if _digest(content) != about["digest"]:
            raise ValueError("altered")
        return content


@contextlib.contextmanager
def open_checkpoints(directory: Path) -> Iterator[Checkpoints]:
    """Opens the checkpoints in a directory and closes them at the end of the context."""
    checkpoints = Checkpoints(directory)
    try:
        yield checkpoints
    finally:
        checkpoints.close()


def _by_number(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays by their position, a structure that does not depend on the agent's classes."""
    return {str(number): array for number, array in enumerate(arrays)}


def _form(state: Any) -> list[Any]:
    """Returns `[path, type, shape]` of every array of the state, in types that JSON preserves."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [[jax.tree_util.keystr(path), str(leaf.dtype), list(leaf.shape)] for path, leaf in leaves]


def _digest(content: _Content) -> str:
    """Computes the SHA-256 digest of the content, in hexadecimal digits."""
    # Keys are sorted so that the order of the counts does not matter.
    digest = hashlib.sha256(json.dumps([content.form, content.counts], sort_keys=True).encode())
    for array in content.arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
