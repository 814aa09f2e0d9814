"""Configuration of experience replay, for Reverb's tables and for replay in a learner's process."""

from __future__ import annotations

import dataclasses
import math

# Name of the table, the same as Acme's `acme.adders.reverb.DEFAULT_PRIORITY_TABLE`.
DEFAULT_TABLE = "priority_table"
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
    table_name: str = DEFAULT_TABLE

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
                f"replay's samples_per_insert must be 1, not {self.samples_per_insert}, if queue is true: "
                "a queue hands every decision over once."
            )
        sample = self.batch_size * self.gradient_steps_per_learner_step
        if not self.min_replay_size <= sample <= self.max_replay_size:
            raise ValueError(
                f"replay's min_replay_size {self.min_replay_size} and max_replay_size {self.max_replay_size} "
                f"must enclose {sample} if queue is true, the decisions of one step of the learner."
            )

    def _check_sequences(self) -> None:
        if self.sequence_length > 1 and self.n_step > 1:
            raise ValueError(
                f"replay's n_step must be 1, not {self.n_step}, if sequence_length is above 1: a sequence "
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
