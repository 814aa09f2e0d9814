"""Tests of agents.acme_layer.replay: sizes in decisions and items, errors, rate limiters, signatures."""

import dataclasses
import math
import sys
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import tensorflow as tf
from acme import specs
from acme.adders import reverb as reverb_adders

from agents.acme_layer.replay import ReplayConfig, make_table

SPEC = specs.EnvironmentSpec(
    observations=specs.Array((3,), np.float32),
    actions=specs.DiscreteArray(2),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be above 0, not 0"),
        ({"samples_per_insert": -1.0}, "samples_per_insert must be above 0"),
        ({"samples_per_insert": math.nan}, "samples_per_insert must be above 0"),
        ({"samples_per_insert": math.inf}, "samples_per_insert must be finite"),
        ({"samples_per_insert_tolerance_rate": -0.1}, "tolerance_rate must not be negative"),
        ({"samples_per_insert_tolerance_rate": math.nan}, "tolerance_rate must not be negative"),
        ({"prefetch_size": -1}, "prefetch_size must not be negative"),
        ({"min_replay_size": 11, "max_replay_size": 10}, "min_replay_size 11 must not exceed .* 10"),
        ({"n_step": 0}, "n_step must be above 0"),
        ({"gradient_steps_per_learner_step": 0}, "gradient_steps_per_learner_step must be above 0"),
        ({"variable_update_period": 0}, "variable_update_period must be above 0"),
        ({"sequence_length": 0}, "sequence_length must be above 0"),
        ({"sequence_length": 4, "n_step": 3}, "n_step must be 1, not 3, if sequence_length is above 1"),
        ({"sequence_length": 5}, "batch_size 256 must be a multiple of its sequence_length 5"),
        ({"table_name": ""}, "table_name must not be empty"),
        ({"queue": True}, "samples_per_insert must be 1, not 256.0, if queue is true"),
        ({"queue": True, "samples_per_insert": 1.0}, "min_replay_size 5000 .* must enclose 256"),
        (
            {"queue": True, "samples_per_insert": 1.0, "min_replay_size": 1, "max_replay_size": 255},
            "max_replay_size 255 must enclose 256",
        ),
    ],
)
def test_impossible_replays_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ReplayConfig(**changes)
    assert "\n" not in str(caught.value)


def test_sizes_in_decisions_become_whole_sequences() -> None:
    replay = ReplayConfig(
        batch_size=12,
        sequence_length=4,
        min_replay_size=9,
        max_replay_size=17,
        gradient_steps_per_learner_step=5,
    )
    assert (replay.min_items, replay.max_items, replay.items_per_sample) == (3, 5, 15)
    assert replay.decisions_before_first_item == 5
    single = dataclasses.replace(replay, sequence_length=1)
    assert (single.min_items, single.max_items, single.items_per_sample) == (9, 17, 60)
    assert single.decisions_before_first_item == 1


@pytest.mark.parametrize("length", [1, 4])
def test_the_ratio_of_decisions_is_that_of_items(length: int) -> None:
    """If decisions are sampled 8 times, so are items of any length. All limits are in items."""
    replay = ReplayConfig(
        batch_size=8, min_replay_size=100, max_replay_size=200, samples_per_insert=8.0, sequence_length=length
    )
    limit = (info := make_table(replay, SPEC).info).rate_limiter_info
    items = 100 // length
    assert (info.max_size, limit.min_size_to_sample, limit.samples_per_insert) == (200 // length, items, 8.0)
    assert (limit.min_diff, limit.max_diff) == pytest.approx((8.0 * items * 0.9, 8.0 * items * 1.1))


def test_tables_without_tolerance_wait_for_the_first_sequences() -> None:
    replay = ReplayConfig(sequence_length=8, min_replay_size=20, samples_per_insert_tolerance_rate=math.inf)
    assert make_table(replay, SPEC).info.rate_limiter_info.min_size_to_sample == 3


def test_a_queue_hands_every_item_over_once_and_makes_actors_wait() -> None:
    replay = ReplayConfig(
        batch_size=4, queue=True, samples_per_insert=1.0, min_replay_size=1, max_replay_size=8
    )
    info = make_table(replay, SPEC).info
    assert (info.max_times_sampled, info.max_size, info.rate_limiter_info.max_diff) == (1, 8, 8.0)
    assert info.sampler_options.fifo
    assert info.remover_options.fifo
    # Without tolerance, nobody waits, because actor and learner are one thread.
    free = dataclasses.replace(replay, samples_per_insert_tolerance_rate=math.inf)
    limit = make_table(free, SPEC).info.rate_limiter_info
    assert (limit.min_size_to_sample, limit.max_diff) == (1, sys.float_info.max)


def test_signatures_are_those_of_transitions_or_sequences() -> None:
    plain, sequences = (
        make_table(ReplayConfig(batch_size=8, sequence_length=length), SPEC).info.signature
        for length in (1, 4)
    )
    assert plain == reverb_adders.NStepTransitionAdder.signature(SPEC)
    shapes = tf.nest.map_structure(lambda spec: (spec.shape.as_list(), spec.dtype.as_numpy_dtype), sequences)
    assert shapes.observation == ([5, 3], np.float32)
    assert shapes.action == ([5], np.int32)
    assert shapes.extras == {"log_prob": ([5], np.float32), "is_decision": ([5], np.bool_)}
