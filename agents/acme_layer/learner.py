"""The learner of every agent in Acme's sense: an `AgentCore` fed by a data set."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import jax
import jax.numpy as jnp
import numpy as np
import reverb
from acme.utils import counting, loggers
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from agents.core import AgentCore, Key, Metrics, Transition

VARIABLES = ("policy",)


class DivergedError(RuntimeError):
    """Learning has left the finite numbers."""


class _Outcome(NamedTuple):
    """What one learner step reports: means of the metrics, and what of all is finite."""

    metrics: Metrics
    finite: dict[str, jax.Array]


class CoreLearner(acme.core.Learner):
    """Runs `AgentCore.update` on samples from replay.

    One `step` takes one sample and does `gradient_steps` updates in one jitted program. With several local
    devices each batch is spread over them, while the state lies on all: losses and batch statistics are
    those of the whole batch.

    Args:
      core: the agent.
      random_key: for `core.init`.
      dataset: samples whose `data` are `gradient_steps` batches, one after the other, as a tree of arrays: a
        row is a decision, such as those of an `acme.types.Transition`, or a sequence of them.
      to_transition: turns the rows of one batch into the core's; is run inside jit.
      batch_size: decisions in a gradient step; a multiple of `sequence_length` times the number of local
        devices.
      gradient_steps: updates in a learner step.
      sequence_length: decisions in a row of the data.
      watched: the metrics that must stay finite. Others may be NaN where a core has nothing to report.
      counter: is told of learner steps, gradient steps and seconds.
      logger: is given counts and metrics, each the mean over the updates that reported it, or where none
        did the last such mean.

    Raises:
      ValueError: a batch that does not spread evenly over the local devices.
    """

    def __init__(
        self,
        core: AgentCore,
        random_key: Key,
        dataset: Iterator[reverb.ReplaySample],
        to_transition: Callable[[Any], Transition],
        *,
        batch_size: int,
        gradient_steps: int = 1,
        sequence_length: int = 1,
        watched: Sequence[str] = ("critic_loss",),
        counter: counting.Counter | None = None,
        logger: loggers.Logger | None = None,
    ) -> None:
        mesh = Mesh(np.asarray(jax.local_devices()), ("batch",))
        if batch_size % (mesh.size * sequence_length):
            times = f" times the {sequence_length} decisions of a sequence" if sequence_length > 1 else ""
            raise ValueError(
                f"batch_size {batch_size} must be a multiple of the {mesh.size} local devices{times}."
            )
        self._dataset = dataset
        self._shape = (gradient_steps, batch_size // sequence_length)
        self._counter = counter or counting.Counter(prefix="learner")
        self._logger = logger or loggers.NoOpLogger()
        self._clock: float | None = None
        self._reported: dict[str, float] = {}
        self._num_steps = 0
        self._spread = NamedSharding(mesh, PartitionSpec(None, "batch"))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        jit = functools.partial(jax.jit, out_shardings=self._everywhere)
        self._learn = jit(functools.partial(_learn, core, to_transition, tuple(watched)), donate_argnums=0)
        self._variables = jit(lambda state: _copy(core.variables(state)))
        self._copy = jit(_copy)
        # `step` gives the state's buffers away, `get_variables` and `save` are called from other threads.
        self._lock = threading.Lock()
        self._state = jit(lambda key: _copy(core.init(key)))(jax.device_put(random_key, self._everywhere))

    def step(self) -> None:
        """Does `gradient_steps` updates on the next sample.

        Raises:
          DivergedError: a watched metric or a part of the state is not finite any more. The state is the
            one from before this step.
        """
        data = jax.tree.map(self._rows, next(self._dataset).data)
        data = jax.device_put(data, self._spread)
        with self._lock:
            self._state, outcome = self._learn(self._state, data)
        metrics, finite = jax.device_get(outcome)
        broken = [name for name, is_finite in finite.items() if not is_finite]
        self._num_steps += 1
        if broken:
            raise DivergedError(
                f"learner step {self._num_steps} diverged: {', '.join(broken)} not finite. The state before "
                "it is kept; look for unbounded rewards or observations, or lower the learning rate."
            )
        self._report(metrics)

    def get_variables(self, names: list[str]) -> list[Any]:
        """Host copies of what acting needs.

        Raises:
          ValueError: a name that is not among `VARIABLES`.
        """
        unknown = [name for name in names if name not in VARIABLES]
        if unknown:
            raise ValueError(f"unknown variables {', '.join(unknown)}: there are {', '.join(VARIABLES)}.")
        with self._lock:
            variables = self._variables(self._state)
        return [jax.device_get(variables)] * len(names)

    def save(self) -> Any:
        """The whole state of the core, as numpy arrays."""
        with self._lock:
            state = self._copy(self._state)
        return jax.device_get(state)

    def restore(self, state: Any) -> None:
        """Goes on from what `save` returned.

        Raises:
          ValueError: the state of another agent or of other networks.
        """
        difference = _difference(self._state, state)
        if difference:
            raise ValueError(f"this state belongs to another agent or configuration: {difference}.")
        state = self._copy(jax.device_put(state, self._everywhere))
        with self._lock:
            self._state = state

    def _report(self, metrics: dict[str, np.ndarray]) -> None:
        now = time.time()
        elapsed = 0.0 if self._clock is None else now - self._clock
        self._clock = now
        for name, value in metrics.items():
            if name not in self._reported or not np.isnan(value):
                self._reported[name] = float(value)
        counts = self._counter.increment(steps=1, gradient_steps=self._shape[0], walltime=elapsed)
        self._logger.write({**self._reported, **counts})

    def _rows(self, leaf: Any) -> Any:
        if leaf.shape[0] != self._shape[0] * self._shape[1]:
            steps, size = self._shape
            raise ValueError(f"a sample must have {steps} x {size} rows, gradient steps by batch size.")
        return leaf.reshape(self._shape + leaf.shape[1:])


def _learn(
    core: AgentCore,
    to_transition: Callable[[Any], Transition],
    watched: tuple[str, ...],
    state: Any,
    data: Any,
) -> tuple[Any, _Outcome]:
    """Updates on data `[G, rows, ..]`, batch after batch; the old state where the new one is broken."""

    def update(state: Any, rows: Any) -> tuple[Any, Metrics]:
        return core.update(state, to_transition(rows))

    after, metrics = jax.lax.scan(update, state, data)
    finite = {name: jnp.isfinite(metrics[name]).all() for name in watched}
    # A gradient can overflow where the loss does not, and show in the next loss only: too late to save.
    finite["state"] = _stayed_finite(state, after)
    healthy = functools.reduce(jnp.logical_and, finite.values())
    state = jax.tree.map(functools.partial(jnp.where, healthy), after, state)
    return state, _Outcome({name: jnp.nanmean(values) for name, values in metrics.items()}, finite)


def _stayed_finite(before: Any, after: Any) -> jax.Array:
    """Whether every number of `after` is finite that was so before: infinity may be a constant."""
    stayed = jax.tree.map(lambda old, new: (jnp.isfinite(new) | ~jnp.isfinite(old)).all(), before, after)
    return jnp.stack(jax.tree.leaves(stayed)).all()


def _copy(tree: Any) -> Any:
    """New buffers, of types that do not change under arithmetic with Python's numbers."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.asarray(leaf).dtype, copy=True), tree)


def _difference(one: Any, other: Any) -> str:
    """Where two trees of arrays differ in structure, shape or type; empty where they do not."""
    ours, theirs = jax.tree_util.tree_leaves_with_path(one), jax.tree_util.tree_leaves_with_path(other)
    if str(jax.tree.structure(one)) != str(jax.tree.structure(other)):
        return f"it has other parts, {len(theirs)} in all where {len(ours)} are expected"
    for (path, leaf), (_, found) in zip(ours, theirs, strict=True):
        if (leaf.shape, leaf.dtype) != (np.shape(found), np.asarray(found).dtype):
            name, kind = jax.tree_util.keystr(path), np.asarray(found).dtype
            return f"{name} is {kind}{list(np.shape(found))}, not {leaf.dtype}{list(leaf.shape)}"
    return ""
