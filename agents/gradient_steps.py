"""Gradient steps of an `AgentCore`, compiled as one program that watches for divergence.

Whatever brings the batches, Acme's learner or a replay in the same process, drives an agent through
`GradientSteps`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from agents.core import AgentCore, Key, Metrics, Transition
from agents.devices import choose_devices


class DivergedError(RuntimeError):
    """A metric or a part of the state is NaN or infinite after a learner step."""


class _StepReport(NamedTuple):
    """Report of one learner step.

    Attributes:
      metrics: means of the metrics over the step's updates; NaN for a metric that no update reported.
      finite: for each watched metric a bool that is True if it is finite, and for the state one that is True
        if all its numbers are finite.
    """

    metrics: Metrics
    finite: dict[str, jax.Array]


class GradientSteps:
    """The state of an agent that learns, and the updates of it.

    One `step` runs `gradient_steps` updates in one jitted program. With several local devices, each batch is
    sharded over as many of them as divide it evenly, see `agents.devices.choose_devices`, and the state is
    replicated. Losses and batch statistics are those of the whole batch.

    Steps are made in one thread. Other threads may read variables and the state meanwhile.

    Args:
      core: the agent.
      random_key: key for `core.init`.
      to_transition: function from the rows of one batch to the core's `Transition`. It runs inside jit.
      batch_size: number of decisions in a gradient step, a multiple of `sequence_length`.
      gradient_steps: number of updates in a step.
      sequence_length: number of decisions in a row of the data.
      watched: names of the metrics that must stay finite. Other metrics may be NaN if a core has nothing to
        report.

    Attributes:
      devices: the devices that the updates use.

    Raises:
      ValueError: the batch is not made of whole sequences.
    """

    def __init__(
        self,
        core: AgentCore,
        random_key: Key,
        to_transition: Callable[[Any], Transition],
        *,
        batch_size: int,
        gradient_steps: int = 1,
        sequence_length: int = 1,
        watched: Sequence[str] = ("critic_loss",),
    ) -> None:
        if batch_size % sequence_length:
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of a sequence's {sequence_length} decisions."
            )
        self.devices = tuple(choose_devices(jax.local_devices(), batch_size // sequence_length))
        mesh = Mesh(np.asarray(self.devices), ("batch",))
        self._shape = (gradient_steps, batch_size // sequence_length)
        self._reported: dict[str, float] = {}
        self._num_steps = 0
        self._spread = NamedSharding(mesh, PartitionSpec(None, "batch"))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        jit = functools.partial(jax.jit, out_shardings=self._everywhere)
        # The buffers of the state before the last one are donated for the new state, so that nothing is
        # allocated and the last state survives a step that diverges. Nothing reads them: hence `keep_unused`.
        learn = functools.partial(_learn, core, to_transition, tuple(watched))
        self._learn = jit(learn, donate_argnums=0, keep_unused=True)
        self._stayed_finite = jit(_stayed_finite)
        self._variables = jit(lambda state: _copy(core.variables(state)))
        self._copy = jit(_copy)
        # `step` donates the buffers of the last state but one, which other threads may still be reading in
        # `variables` and `save`.
        self._lock = threading.Lock()
        self._state = jit(lambda key: _copy(core.init(key)))(jax.device_put(random_key, self._everywhere))
        self._spare: Any = None

    def step(self, data: Any) -> dict[str, float]:
        """Runs `gradient_steps` updates.

        Args:
          data: tree of arrays `[G * rows, ..]` with `gradient_steps` batches, one after the other. A row is
            either one decision or a sequence of decisions.

        Returns:
          The metrics, each the mean over the updates that reported it. If none did, it is the mean of the
          last step that had one.

        Raises:
          DivergedError: a watched metric or a part of the state is no longer finite. The learner then keeps
            the state from before this step.
          ValueError: the sample has another number of rows than `gradient_steps` batches.
        """
        data = jax.device_put(jax.tree.map(self._rows, data), self._spread)
        before = self._state
        with self._lock:
            spare, self._spare = self._spare, None
            after, report = self._learn(self._copy(before) if spare is None else spare, before, data)
        # Fetched after the lock is released: this waits for the device, and actors should not wait with it.
        report = jax.device_get(report)
        if not report.finite["state"]:
            # Infinity may be a constant of the state. Only then are the two states compared.
            report.finite["state"] = bool(self._stayed_finite(before, after))
        broken = [name for name, is_finite in report.finite.items() if not is_finite]
        self._num_steps += 1
        with self._lock:
            self._state, self._spare = (before, after) if broken else (after, before)
        if broken:
            raise DivergedError(
                f"learner step {self._num_steps} diverged: {', '.join(broken)} not finite. The state before "
                "it is kept; look for unbounded rewards or observations, or lower the learning rate."
            )
        for name, value in report.metrics.items():
            if name not in self._reported or not np.isnan(value):
                self._reported[name] = float(value)
        return dict(self._reported)

    def variables(self) -> Any:
        """Returns copies of the variables that acting needs, in host memory."""
        with self._lock:
            variables = self._variables(self._state)
        return jax.device_get(variables)

    def save(self) -> Any:
        """Returns a copy of the core's whole state, as NumPy arrays."""
        with self._lock:
            state = self._copy(self._state)
        return jax.device_get(state)

    def restore(self, state: Any) -> None:
        """Replaces the state by one that `save` returned, so that learning resumes from it.

        Raises:
          ValueError: the state belongs to another agent or to other networks.
        """
        difference = _difference(self._state, state)
        if difference:
            raise ValueError(f"this state belongs to another agent or configuration: {difference}.")
        state = self._copy(jax.device_put(state, self._everywhere))
        with self._lock:
            self._state = state

    def _rows(self, leaf: Any) -> Any:
        """Reshapes an array of a sample, `[G * rows, ..]`, into its batches, `[G, rows, ..]`."""
        if leaf.shape[0] != self._shape[0] * self._shape[1]:
            steps, size = self._shape
            raise ValueError(f"a sample must have {steps} x {size} rows, gradient steps by batch size.")
        return leaf.reshape(self._shape + leaf.shape[1:])


def _learn(
    core: AgentCore,
    to_transition: Callable[[Any], Transition],
    watched: tuple[str, ...],
    spare: Any,
    state: Any,
    data: Any,
) -> tuple[Any, _StepReport]:
    """Runs G updates and checks that the new state and the watched metrics are finite.

    Args:
      core: the agent.
      to_transition: function from the rows of one batch to the core's `Transition`.
      watched: names of the metrics that must stay finite.
      spare: a state of which only the buffers are used.
      state: state of the core.
      data: tree of arrays `[G, rows, ..]`.

    Returns:
      The state after the updates, and the report of the step.
    """
    del spare
    chex.assert_equal_shape_prefix(jax.tree.leaves(data), 2)

    def update(state: Any, rows: Any) -> tuple[Any, Metrics]:
        return core.update(state, to_transition(rows))

    after, metrics = jax.lax.scan(update, state, data)
    finite = {name: jnp.isfinite(metrics[name]).all() for name in watched}
    # A gradient can overflow although the loss does not. The next loss would show it, but by then the last
    # finite state would be lost, and so the state is checked as well.
    finite["state"] = _is_finite(after)
    # A core reports NaN for a metric that an update did not compute, such as that of a delayed policy update.
    return after, _StepReport({name: jnp.nanmean(values) for name, values in metrics.items()}, finite)


def _is_finite(state: Any) -> jax.Array:
    """Returns True if every number of the state is finite."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves] or [jnp.array(True)]).all()


def _stayed_finite(before: Any, after: Any) -> jax.Array:
    """Returns True if every number that was finite in `before` is finite in `after`.

    Numbers that were infinite before are ignored, because infinity may be a constant of the state.
    """
    stayed = jax.tree.map(lambda old, new: (jnp.isfinite(new) | ~jnp.isfinite(old)).all(), before, after)
    return jnp.stack(jax.tree.leaves(stayed)).all()


def _copy(tree: Any) -> Any:
    """Copies a tree of arrays into new buffers whose types are not weak.

    A weak type could change with the first update, and the learner would be compiled a second time.
    """
    return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.asarray(leaf).dtype, copy=True), tree)


def _difference(one: Any, other: Any) -> str:
    """Describes the first difference of two trees of arrays in structure, shape or type.

    Returns:
      The description, or an empty string if there is no difference.
    """
    ours, theirs = jax.tree_util.tree_leaves_with_path(one), jax.tree_util.tree_leaves_with_path(other)
    if str(jax.tree.structure(one)) != str(jax.tree.structure(other)):
        return f"it has other parts, {len(theirs)} in all instead of {len(ours)}"
    for (path, leaf), (_, found) in zip(ours, theirs, strict=True):
        if (leaf.shape, leaf.dtype) != (np.shape(found), np.asarray(found).dtype):
            name, kind = jax.tree_util.keystr(path), np.asarray(found).dtype
            return f"{name} is {kind}{list(np.shape(found))}, not {leaf.dtype}{list(leaf.shape)}"
    return ""
