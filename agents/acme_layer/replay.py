"""How experience is kept and drawn: Reverb's table, what writes to it and what reads from it.

An item of the table is one n-step transition, or a sequence of decisions that follow each other, with the
observation after the last. Sequences of one episode lie end to end, so that each decision is in one of them
and all are drawn equally often. The last one of an episode is padded with rows that are no decisions: an
overlapping one would have late decisions drawn more often, and an episode shorter than a sequence has none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import numpy as np
import reverb
from acme import adders, specs
from acme.adders import reverb as reverb_adders
from acme.datasets import reverb as reverb_datasets

_POSITIVE = (
    "batch_size",
    "min_replay_size",
    "max_replay_size",
    "samples_per_insert",
    "n_step",
    "sequence_length",
    "gradient_steps_per_learner_step",
    "num_parallel_calls",
    "variable_update_period",
)
_EXTRAS_SPEC = {"log_prob": specs.Array((), np.float32), "is_decision": specs.Array((), bool)}


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """How experience is kept and drawn.

    Sizes are in decisions. Where they come in sequences, sizes are rounded up to whole ones, and a sequence
    that an episode's end cuts short counts as a whole one.

    Attributes:
      batch_size: decisions in a gradient step.
      min_replay_size: decisions to collect before learning begins.
      max_replay_size: decisions to keep; the oldest go first.
      samples_per_insert: how often a decision is drawn on average. `batch_size` makes one gradient step for
        each decision.
      samples_per_insert_tolerance_rate: how far, as a share, actors and learner may run apart before one
        waits for the other; `inf` sets both free.
      n_step: rewards summed up before a value is taken over (Sutton 1988).
      sequence_length: decisions in a row that are kept together, each with the log-probability of its
        action; 1: transitions, without.
      gradient_steps_per_learner_step: gradient steps in one call of the learner; more cost less overhead.
      prefetch_size: samples made ready ahead.
      num_parallel_calls: streams that samples are drawn in, each holding one or two of its own.
      variable_update_period: calls of an actor's `update` between two requests for the newest policy.
      table_name: of Reverb's table.
    """

    batch_size: int = 256
    min_replay_size: int = 5000
    max_replay_size: int = 1_000_000
    samples_per_insert: float = 256.0
    samples_per_insert_tolerance_rate: float = 0.1
    n_step: int = 1
    sequence_length: int = 1
    gradient_steps_per_learner_step: int = 1
    prefetch_size: int = 4
    num_parallel_calls: int = 4
    variable_update_period: int = 10
    table_name: str = reverb_adders.DEFAULT_PRIORITY_TABLE

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"replay's {name} must be above 0, not {getattr(self, name)}.")
        if not math.isfinite(self.samples_per_insert):
            raise ValueError("replay's samples_per_insert must be finite; free it by the tolerance rate inf.")
        for name in ("samples_per_insert_tolerance_rate", "prefetch_size"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"replay's {name} must not be negative, not {getattr(self, name)}.")
        if self.min_replay_size > self.max_replay_size:
            raise ValueError(
                f"replay's min_replay_size {self.min_replay_size} must not exceed its max_replay_size "
                f"{self.max_replay_size}: learning would never begin."
            )
        if not self.table_name:
            raise ValueError("replay's table_name must not be empty.")
        self._check_sequences()

    def _check_sequences(self) -> None:
        if self.sequence_length > 1 and self.n_step > 1:
            raise ValueError(
                f"replay's n_step must be 1, not {self.n_step}, where sequence_length is above 1: a sequence "
                "keeps every step by itself."
            )
        if self.batch_size % self.sequence_length:
            raise ValueError(
                f"replay's batch_size {self.batch_size} must be a multiple of its sequence_length "
                f"{self.sequence_length}: a batch is made of whole sequences."
            )

    @property
    def min_items(self) -> int:
        """Transitions or sequences to collect before learning begins."""
        return math.ceil(self.min_replay_size / self.sequence_length)

    @property
    def max_items(self) -> int:
        """Transitions or sequences to keep."""
        return math.ceil(self.max_replay_size / self.sequence_length)

    @property
    def items_per_sample(self) -> int:
        """Transitions or sequences in what the learner takes at once."""
        return self.batch_size // self.sequence_length * self.gradient_steps_per_learner_step

    @property
    def decisions_before_first_item(self) -> int:
        """Decisions after which there is something to draw, whatever the length of an episode.

        A sequence is written with the decision after its last.
        """
        return self.sequence_length + (self.sequence_length > 1)


def make_table(replay: ReplayConfig, environment_spec: specs.EnvironmentSpec) -> reverb.Table:
    """A table of n-step transitions or sequences, sampled uniformly."""
    if replay.sequence_length > 1:
        signature = SequenceAdder.signature(environment_spec, _EXTRAS_SPEC, replay.sequence_length + 1)
    else:
        signature = reverb_adders.NStepTransitionAdder.signature(environment_spec)
    return reverb.Table(
        name=replay.table_name,
        sampler=reverb.selectors.Uniform(),
        remover=reverb.selectors.Fifo(),
        max_size=replay.max_items,
        rate_limiter=_make_limiter(replay),
        signature=signature,
    )


def make_dataset_iterator(replay: ReplayConfig, client: reverb.Client) -> Iterator[reverb.ReplaySample]:
    """Samples of `replay.items_per_sample` transitions or sequences, on the host."""
    dataset = reverb_datasets.make_reverb_dataset(
        server_address=client.server_address,
        batch_size=replay.items_per_sample,
        prefetch_size=replay.prefetch_size,
        table=replay.table_name,
        num_parallel_calls=replay.num_parallel_calls,
    )
    return dataset.as_numpy_iterator()


def make_adder(replay: ReplayConfig, client: reverb.Client, discount: float) -> adders.Adder:
    """Writes n-step transitions, whose rewards are summed up with `discount`, or sequences."""
    priority_fns = {replay.table_name: None}
    if replay.sequence_length > 1:
        return SequenceAdder(
            client,
            replay.sequence_length + 1,
            replay.sequence_length,
            priority_fns=priority_fns,
            end_of_episode_behavior=reverb_adders.EndBehavior.ZERO_PAD,
        )
    return reverb_adders.NStepTransitionAdder(
        client=client, n_step=replay.n_step, discount=discount, priority_fns=priority_fns
    )


class SequenceAdder(reverb_adders.SequenceAdder):
    """Acme's, which also writes which rows are decisions.

    Its zeros after the end of an episode could be a decision with its reward, action and discount otherwise.
    """

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        super().add(action, next_timestep, mark_decision(extras))


def mark_decision(extras: Any) -> Mapping[str, Any]:
    """What is written beside a decision: `log_prob`, from the actor's extras, and `is_decision`.

    Raises:
      ValueError: extras without `log_prob`.
    """
    if not isinstance(extras, Mapping) or "log_prob" not in extras:
        raise ValueError(
            "sequences need each action's log_prob among the extras: let a policy act that make_policy made "
            "with the same replay, not for evaluation."
        )
    return {"log_prob": np.asarray(extras["log_prob"], np.float32), "is_decision": np.bool_(True)}


def _make_limiter(replay: ReplayConfig) -> reverb.rate_limiters.RateLimiter:
    """Counts items. Those drawn hold as many decisions on average as those inserted: the ratio is alike."""
    if math.isinf(replay.samples_per_insert_tolerance_rate):
        return reverb.rate_limiters.MinSize(replay.min_items)
    tolerance = replay.samples_per_insert_tolerance_rate * replay.samples_per_insert * replay.min_items
    # Less than this and Reverb could block both sides for good.
    least = 2 * max(1.0, replay.samples_per_insert)
    return reverb.rate_limiters.SampleToInsertRatio(
        samples_per_insert=replay.samples_per_insert,
        min_size_to_sample=replay.min_items,
        error_buffer=max(tolerance, least),
    )
