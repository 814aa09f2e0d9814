"""Experience replay with Reverb: the table, the adders that write to it and the data set that reads from it.

An item of the table is either one n-step transition or a sequence of consecutive decisions, followed by the
observation after the last of them. The sequences of an episode do not overlap, so that each decision is in
exactly one sequence and all decisions are sampled uniformly. The last sequence of an episode is padded with
rows that are not decisions. The alternative, a last sequence that overlaps the one before it, would sample
late decisions more often, and it does not exist for an episode that is shorter than a sequence.
"""

from __future__ import annotations

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

from agents.replay_config import ReplayConfig as ReplayConfig

_EXTRAS_SPEC = {"log_prob": specs.Array((), np.float32), "is_decision": specs.Array((), bool)}


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
