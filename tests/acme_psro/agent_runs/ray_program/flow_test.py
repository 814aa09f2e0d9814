"""Tests of the flow control of programs on Ray, with Reverb's rule as the reference."""

import math
import sys

import pytest

from acme_psro.agent_runs.ray_program.flow import Limits, make_limits
from agents.replay_config import ReplayConfig

REPLAY = ReplayConfig(batch_size=512, min_replay_size=2000, samples_per_insert=32.0)


def test_nothing_is_sampled_before_enough_is_inserted() -> None:
    limits = Limits(2.0, min_size=10, error_buffer=6.0)
    assert limits.may_insert(0, 0) and limits.may_insert(9, 0)
    assert not limits.may_sample(9, 0, 1)
    assert limits.may_sample(10, 0, 6)
    assert not limits.may_sample(10, 0, 7)


def test_actors_and_learner_wait_for_each_other() -> None:
    """With r = 2, 13 decisions are 6 samples ahead, the whole buffer."""
    limits = Limits(2.0, min_size=10, error_buffer=6.0)
    assert limits.may_insert(13, 0)
    assert not limits.may_insert(14, 0)
    assert limits.may_insert(14, 2)
    assert limits.may_sample(14, 2, 12)
    assert not limits.may_sample(14, 2, 13)


@pytest.mark.parametrize("message", [1, 160, 5000])
def test_the_ratio_is_kept_and_neither_waits_for_ever(message: int) -> None:
    limits, sample = make_limits(REPLAY), 2048
    inserted = sampled = 0
    for _ in range(20_000):
        if limits.may_insert(inserted, sampled):
            inserted += message
        elif limits.may_sample(inserted, sampled, sample):
            sampled += sample
        else:
            raise AssertionError(f"nobody may go on after {inserted} and {sampled}")
    excess = 32.0 * (inserted - 2000) - sampled
    assert -limits.error_buffer <= excess <= limits.error_buffer + 32.0 * message


def test_a_large_sample_fits_into_the_buffer() -> None:
    replay = ReplayConfig(batch_size=4096, min_replay_size=10, samples_per_insert=1.0)
    assert make_limits(replay).error_buffer == 4096


def test_without_a_tolerance_neither_waits() -> None:
    free = ReplayConfig(samples_per_insert_tolerance_rate=math.inf, min_replay_size=10)
    limits = make_limits(free)
    assert limits.may_insert(10**9, 0) and limits.may_sample(10, 10**9, 10**6)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="Reverb ends at Python 3.10")
def test_the_limits_are_those_of_reverb() -> None:
    import agents.acme_layer.compat  # noqa: F401

    # isort: split

    from agents.acme_layer import replay as replays

    limits = make_limits(REPLAY)
    middle = limits.samples_per_insert * limits.min_size
    least, most = (middle + sign * limits.error_buffer for sign in (-1, 1))
    assert f"min_diff_={least:g}, max_diff={most:g}" in repr(replays._make_limiter(REPLAY))
