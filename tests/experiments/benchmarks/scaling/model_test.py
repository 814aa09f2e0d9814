"""Tests of the model's bounds against hand calculations, and of invalid setups."""

import math

import pytest

from experiments.benchmarks.scaling.model import Limiter, Services, Setup, Work, bounds, saturation

SERVICES = Services(
    act=Work(0.001),
    insert=Work(0.0001, 2.0),
    draw=Work(0.00001, 3.0),
    read=Work(0.00004),
    learn=Work(0.008, 1.5),
    fetch=Work(0.1),
)
LIMITER = Limiter(10.0, 100, 900.0, 1100.0)
SETUP = Setup(SERVICES, LIMITER, batch_size=20, streams=2)


def test_bounds_are_those_of_each_part_alone() -> None:
    found = bounds(SETUP, 4, 6)
    assert found == {
        # Four actors, a millisecond each.
        "actors": pytest.approx(4000),
        # 0.1 ms to insert a decision, and ten draws of 0.01 ms.
        "replay": pytest.approx(1 / 0.0002),
        # Ten draws of 0.04 ms, in two streams.
        "reading": pytest.approx(5000),
        # Half a gradient step for each env step.
        "learner": pytest.approx(250),
        # Core seconds: 1 + 0.2 + 0.3 + 0.4 + 6 ms.
        "cores": pytest.approx(6 / 0.0079),
    }
    assert bounds(SETUP, 1)["cores"] == math.inf


def test_who_does_nothing_sets_no_bound() -> None:
    alone = Setup(SERVICES, Limiter(0.0, 0.0, -math.inf, math.inf), batch_size=20)
    found = bounds(alone, 2)
    assert (found["actors"], found["replay"]) == (pytest.approx(2000), pytest.approx(10_000))
    assert found["reading"] == found["learner"] == math.inf


def test_limiter_counts_as_reverb_does() -> None:
    # Until there are enough, all may be inserted; then 10 * inserted - drawn must stay from 900 to 1,100.
    assert LIMITER.may_insert(100, 0, 0)
    assert LIMITER.may_insert(110, 0, 0)
    assert not LIMITER.may_insert(111, 0, 0)
    assert LIMITER.may_insert(1, 110, 10)
    assert not LIMITER.may_draw(1, 99, 0)
    assert LIMITER.may_draw(100, 100, 0)
    assert not LIMITER.may_draw(101, 100, 0)


def test_saturation_is_where_more_actors_are_of_no_use() -> None:
    assert saturation({1: 10.0, 2: 20.0, 4: 29.0, 8: 30.0}) == 4
    assert saturation({1: 10.0, 2: 20.0, 4: 40.0}) is None
    assert saturation({1: 5.0, 2: 5.0}) == 1


@pytest.mark.parametrize("name", ["batch_size", "games", "pending", "fetch_period", "streams", "prefetch"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        Setup(**{"services": SERVICES, "limiter": LIMITER, "batch_size": 20, name: 0})


def test_bounds_too_close_are_refused() -> None:
    with pytest.raises(ValueError, match=r"too close for 10\.0 samples per insert"):
        Setup(SERVICES, LIMITER._replace(max_diff=919.0), batch_size=20)
