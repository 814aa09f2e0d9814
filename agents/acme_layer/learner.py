"""The Acme learner of all agents, which updates an `AgentCore` with samples from a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import reverb
from acme.utils import counting, loggers

from agents.core import AgentCore, Key, Transition
from agents.gradient_steps import DivergedError as DivergedError
from agents.gradient_steps import GradientSteps

VARIABLES = ("policy",)


class CoreLearner(acme.core.Learner):
    """Runs `AgentCore.update` on samples from replay, see `agents.gradient_steps.GradientSteps`.

    One `step` takes one sample and runs `gradient_steps` updates.

    Args:
      core: the agent.
      random_key: key for `core.init`.
      dataset: iterator over samples. The `data` of a sample is a tree of arrays with `gradient_steps`
        batches, one after the other. A row of the arrays is either one decision, as in an
        `acme.types.Transition`, or a sequence of decisions.
      to_transition: function from the rows of one batch to the core's `Transition`. It runs inside jit.
      batch_size: number of decisions in a gradient step, a multiple of `sequence_length`.
      gradient_steps: number of updates in a learner step.
      sequence_length: number of decisions in a row of the data.
      watched: names of the metrics that must stay finite. Other metrics may be NaN if a core has nothing to
        report.
      counter: counter of learner steps, gradient steps and seconds.
      logger: logger that receives counts and metrics. A metric is the mean over the updates that reported
        it. If none did, its last mean is repeated.

    Attributes:
      devices: the devices that the learner uses.

    Raises:
      ValueError: the batch is not made of whole sequences.
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
        self._learning = GradientSteps(
            core,
            random_key,
            to_transition,
            batch_size=batch_size,
            gradient_steps=gradient_steps,
            sequence_length=sequence_length,
            watched=watched,
        )
        self.devices = self._learning.devices
        self._dataset = dataset
        self._gradient_steps = gradient_steps
        self._counter = counter or counting.Counter(prefix="learner")
        self._logger = logger or loggers.NoOpLogger()
        self._clock: float | None = None

    def step(self) -> None:
        """Runs `gradient_steps` updates on the next sample, and writes a row of metrics and counts.

        Raises:
          DivergedError: a watched metric or a part of the state is no longer finite. The learner then keeps
            the state from before this step.
          ValueError: the sample has another number of rows than `gradient_steps` batches.
        """
        metrics = self._learning.step(next(self._dataset).data)
        now = time.time()
        elapsed = 0.0 if self._clock is None else now - self._clock
        self._clock = now
        counts = self._counter.increment(steps=1, gradient_steps=self._gradient_steps, walltime=elapsed)
        # A logger needs the same columns in every row, so that the metrics have a missing one's last value.
        self._logger.write({**metrics, **counts})

    def get_variables(self, names: list[str]) -> list[Any]:
        """Returns copies of the variables that acting needs, in host memory.

        Args:
          names: names of the variables, each one of `VARIABLES`.

        Raises:
          ValueError: a name is not in `VARIABLES`.
        """
        unknown = [name for name in names if name not in VARIABLES]
        if unknown:
            raise ValueError(f"unknown variables {', '.join(unknown)}: there are {', '.join(VARIABLES)}.")
        return [self._learning.variables()] * len(names)

    def save(self) -> Any:
        """Returns a copy of the core's whole state, as NumPy arrays."""
        return self._learning.save()

    def restore(self, state: Any) -> None:
        """Replaces the state by one that `save` returned, so that learning resumes from it.

        Raises:
          ValueError: the state belongs to another agent or to other networks.
        """
        self._learning.restore(state)

    def close(self) -> None:
        """Closes the logger, which may have held back the row of the last step."""
        self._logger.close()
