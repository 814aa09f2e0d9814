"""Experience replay with Reverb: the table, the adders that write to it and the data set that reads from it.

An item of the table is either one n-step transition or a sequence of consecutive decisions, followed by the
observation after the last of them. The sequences of an episode do not overlap, so that each decision is in
exactly one sequence and all decisions are sampled uniformly. The last sequence of an episode is padded with
rows that are not decisions. The alternative, a last sequence that overlaps the one before it, would sample
late decisions more often, and it does not exist for an episode that is shorter than a sequence.
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
    """Configuration of replay: sizes, sampling ratio and the form of the items.

    All sizes are in decisions. If items are sequences, sizes are rounded up to whole sequences, and a
    padded sequence at the end of an episode counts as a whole one.

    Attributes:
      batch_size: number of decisions in a gradient step.
      min_replay_size: number of decisions to collect before learning begins.
      max_replay_size: number of decisions to keep. The oldest are removed first.
      samples_per_insert: average number of times that a decision is sampled. With `batch_size` here, there
        is one gradient step for each decision.
      samples_per_insert_tolerance_rate: relative deviation from this ratio at which the actors wait for the
        learner or the learner waits for the actors. With `inf`, neither waits for the other.
      n_step: number of rewards that are summed before bootstrapping (Sutton 1988).
      sequence_length: number of consecutive decisions in an item, each stored with the log-probability of
        its action. With 1, items are transitions, which are stored without log-probabilities.
      gradient_steps_per_learner_step: number of gradient steps in one call of the learner. A larger number
        has less overhead.
      prefetch_size: number of samples that are prepared in advance.
      num_parallel_calls: number of parallel sampling streams. Each holds one or two samples of its own.
      variable_update_period: number of calls of an actor's `update` between two requests for the newest
        policy.
      queue: True if every decision is used exactly once, in the order of the decisions, as learning on policy
        needs it. Each decision then begins exactly one transition, the longest one. Learning begins with the
        first sample, and actors wait while the queue is full.
      table_name: name of Reverb's table.

    Raises:
      ValueError: a value is out of its range, or values contradict each other.
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
    queue: bool = False
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
        self._check_queue()

    def _check_queue(self) -> None:
        if not self.queue:
            return
        if self.samples_per_insert != 1:
            raise ValueError(
                f"replay's samples_per_insert must be 1, not {self.samples_per_insert}, where queue is true: "
                "a queue hands every decision over once."
            )
        sample = self.batch_size * self.gradient_steps_per_learner_step
        if not self.min_replay_size <= sample <= self.max_replay_size:
            raise ValueError(
                f"replay's min_replay_size {self.min_replay_size} and max_replay_size {self.max_replay_size} "
                f"must enclose {sample} where queue is true, the decisions of one step of the learner."
            )

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
        """Number of transitions or sequences to collect before learning begins."""
        return math.ceil(self.min_replay_size / self.sequence_length)

    @property
    def max_items(self) -> int:
        """Largest number of transitions or sequences to keep."""
        return math.ceil(self.max_replay_size / self.sequence_length)

    @property
    def items_per_sample(self) -> int:
        """Number of transitions or sequences in one sample, which serves one step of the learner."""
        return self.batch_size // self.sequence_length * self.gradient_steps_per_learner_step

    @property
    def decisions_before_first_item(self) -> int:
        """Number of decisions after which the table holds an item, for episodes of any length.

        A sequence is written only when the decision after its last one is added, hence one more than
        `sequence_length`.
        """
        return self.sequence_length + (self.sequence_length > 1)


def make_table(
    replay: ReplayConfig,
    environment_spec: specs.EnvironmentSpec,
    extras: Mapping[str, specs.Array] | None = None,
) -> reverb.Table:
    """Makes a table of n-step transitions or sequences: one that is sampled uniformly, or a queue.

    Args:
      replay: configuration of replay.
      environment_spec: shapes and types of the environment, from which the table's signature is made.
      extras: shapes and types of the decisions' extras, beside those that every sequence has.
    """
    extras = extras or {}
    if replay.sequence_length > 1:
        all_extras = {**_EXTRAS_SPEC, **extras}
        signature = SequenceAdder.signature(environment_spec, all_extras, replay.sequence_length + 1)
    else:
        signature = reverb_adders.NStepTransitionAdder.signature(environment_spec, extras or ())
    return reverb.Table(
        name=replay.table_name,
        sampler=reverb.selectors.Fifo() if replay.queue else reverb.selectors.Uniform(),
        remover=reverb.selectors.Fifo(),
        max_size=replay.max_items,
        # 0: there is no limit.
        max_times_sampled=1 if replay.queue else 0,
        rate_limiter=_make_limiter(replay),
        signature=signature,
    )


def make_dataset_iterator(replay: ReplayConfig, client: reverb.Client) -> Iterator[reverb.ReplaySample]:
    """Returns an endless iterator over samples of `replay.items_per_sample` items, in host memory.

    Args:
      replay: configuration of replay.
      client: client of the Reverb server.
    """
    dataset = reverb_datasets.make_reverb_dataset(
        server_address=client.server_address,
        batch_size=replay.items_per_sample,
        prefetch_size=replay.prefetch_size,
        table=replay.table_name,
        num_parallel_calls=replay.num_parallel_calls,
    )
    return dataset.as_numpy_iterator()


def make_adder(replay: ReplayConfig, client: reverb.Client, discount: float) -> adders.Adder:
    """Makes an adder for one environment, which writes n-step transitions or sequences.

    Args:
      replay: configuration of replay.
      client: client of the Reverb server.
      discount: the agent's discount, with which the rewards of an n-step transition are summed.
    """
    # Priorities are never read by a uniform sampler; None gives every item the same one.
    priority_fns = {replay.table_name: None}
    if replay.sequence_length > 1:
        # One row more than there are decisions, for the observation after the last. With a period of
        # `sequence_length`, that row is also the first one of the next sequence.
        return SequenceAdder(
            client,
            replay.sequence_length + 1,
            replay.sequence_length,
            priority_fns=priority_fns,
            end_of_episode_behavior=reverb_adders.EndBehavior.ZERO_PAD,
        )
    kind = LongestTransitionAdder if replay.queue else reverb_adders.NStepTransitionAdder
    return kind(client=client, n_step=replay.n_step, discount=discount, priority_fns=priority_fns)


class LongestTransitionAdder(reverb_adders.NStepTransitionAdder):
    """Acme's n-step adder, reduced to the longest transition from each decision.

    Acme's own adder also writes shorter transitions from the first decision of an episode, so that it counts
    `n_step` times.
    """

    def _write(self) -> None:
        if self._n_step == self.n_step:
            super()._write()

    def _write_last(self) -> None:
        # The first decision of an episode that is shorter than n steps has no transition yet.
        if self._n_step == self.n_step:
            self._first_idx += 1
        while self._first_idx < self._last_idx:
            super()._write()
            self._first_idx += 1


class SequenceAdder(reverb_adders.SequenceAdder):
    """Acme's sequence adder, which also marks the rows that are decisions.

    Without the mark, the zeros that Acme writes after the end of an episode could not be distinguished from
    a decision whose action, reward and discount are 0.
    """

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        super().add(action, next_timestep, mark_decision(extras))


def mark_decision(extras: Any) -> Mapping[str, Any]:
    """Returns the extras that are stored with a decision of a sequence.

    Args:
      extras: the actor's extras, a mapping with `log_prob`, a scalar, and perhaps `drawn`, the action before
        it was clipped.

    Returns:
      A mapping with `log_prob`, float32, `is_decision`, which is True, and `drawn` if the actor gave it.
      Padding has zeros here, and so `is_decision` is False in padding.

    Raises:
      ValueError: `extras` has no `log_prob`.
    """
    if not isinstance(extras, Mapping) or "log_prob" not in extras:
        raise ValueError(
            "sequences need each action's log_prob among the extras: let a policy act that make_policy made "
            "with the same replay, not for evaluation."
        )
    marked = {"log_prob": np.asarray(extras["log_prob"], np.float32), "is_decision": np.bool_(True)}
    return {**marked, "drawn": extras["drawn"]} if "drawn" in extras else marked


def _make_limiter(replay: ReplayConfig) -> reverb.rate_limiters.RateLimiter:
    """Makes the rate limiter, which counts items, not decisions.

    Sampled items hold as many decisions on average as inserted ones. The ratio of samples to inserts is
    therefore the same in items as in decisions.
    """
    if math.isinf(replay.samples_per_insert_tolerance_rate):
        return reverb.rate_limiters.MinSize(1 if replay.queue else replay.min_items)
    if replay.queue:
        return reverb.rate_limiters.Queue(replay.max_items)
    tolerance = replay.samples_per_insert_tolerance_rate * replay.samples_per_insert * replay.min_items
    # With a smaller error buffer, Reverb could block the actors and the learner at the same time, forever.
    least = 2 * max(1.0, replay.samples_per_insert)
    return reverb.rate_limiters.SampleToInsertRatio(
        samples_per_insert=replay.samples_per_insert,
        min_size_to_sample=replay.min_items,
        error_buffer=max(tolerance, least),
    )
