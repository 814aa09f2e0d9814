"""Tests of simulated programs against hand calculations and general bounds."""

import dataclasses
import itertools
import math

import pytest

from experiments.benchmarks.scaling.model import Limiter, Services, Setup, Work, bounds
from experiments.benchmarks.scaling.simulation import simulate

NOTHING = Work(0.0)
FREE = Limiter(0.0, 0.0, -math.inf, math.inf)
# 32 samples per insert, as in games by default.
TIED = Limiter(32.0, 2000, 57_600.0, 70_400.0)
DEFAULTS = {"gradient_steps": 4, "games": 16, "pending": 32, "fetch_period": 160, "streams": 4, "prefetch": 4}
ALONE = Services(Work(1e-4), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)


def make_setup(services: Services, limiter: Limiter = TIED) -> Setup:
    return Setup(services, limiter, batch_size=512, **DEFAULTS)


@pytest.mark.parametrize("actors", [1, 3, 64])
def test_actors_that_nobody_holds_up(actors: int) -> None:
    pace = simulate(make_setup(ALONE, FREE), actors)
    assert pace.env_steps == pytest.approx(actors * 10_000, rel=0.01)
    assert pace.gradient_steps == 0


def test_actors_that_share_cores() -> None:
    setup = make_setup(ALONE, FREE)
    assert simulate(setup, 2, 2).env_steps == pytest.approx(20_000, rel=0.01)
    assert simulate(setup, 8, 2).env_steps == pytest.approx(20_000, rel=0.01)
    # What uses two cores at once goes half as fast on one.
    wide = make_setup(ALONE._replace(act=Work(1e-4, 2.0)), FREE)
    assert simulate(wide, 1, 2).env_steps == pytest.approx(10_000, rel=0.01)
    assert simulate(wide, 1, 1).env_steps == pytest.approx(5000, rel=0.01)


def test_replay_that_cannot_insert_faster() -> None:
    setup = make_setup(ALONE._replace(insert=Work(4e-5)), FREE)
    rates = [simulate(setup, actors).env_steps for actors in (1, 2, 4, 8)]
    assert rates == pytest.approx([10_000, 20_000, 25_000, 25_000], rel=0.01)


def test_actor_that_waits_for_its_writes() -> None:
    # Nothing may be under way when an actor goes on, so that acting and inserting take turns.
    strict = dataclasses.replace(make_setup(ALONE._replace(insert=Work(1e-4)), FREE), pending=1)
    assert simulate(strict, 1).env_steps == pytest.approx(5000, rel=0.01)
    loose = dataclasses.replace(strict, pending=16)
    assert simulate(loose, 1).env_steps == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("actors", [1, 4, 64])
def test_learner_that_cannot_learn_faster(actors: int) -> None:
    pace = simulate(make_setup(ALONE._replace(learn=Work(0.01))), actors)
    assert pace.gradient_steps == pytest.approx(100, rel=0.02)
    # Of 512 drawn decisions, each inserted one is 32.
    assert pace.env_steps == pytest.approx(100 * 512 / 32, rel=0.02)


def test_learner_that_waits_for_its_only_actor() -> None:
    pace = simulate(make_setup(ALONE._replace(learn=Work(1e-5))), 1)
    assert pace.env_steps == pytest.approx(10_000, rel=0.01)
    assert pace.gradient_steps == pytest.approx(10_000 * 32 / 512, rel=0.01)


def test_streams_that_cannot_read_faster() -> None:
    # Four at a time, a tenth of a millisecond each, 32 for an env step.
    pace = simulate(make_setup(ALONE._replace(read=Work(1e-4))), 16)
    assert pace.env_steps == pytest.approx(4 / 1e-4 / 32, rel=0.03)


def test_streams_draw_while_they_read() -> None:
    services = ALONE._replace(draw=Work(2e-5), read=Work(8e-5))
    # One after the other, draws would add a quarter to what the four streams take to read.
    assert simulate(make_setup(services), 16).env_steps == pytest.approx(4 / 8e-5 / 32, rel=0.03)


def test_replay_that_inserts_and_draws() -> None:
    pace = simulate(make_setup(ALONE._replace(insert=Work(1e-4), draw=Work(1e-5))), 64)
    assert pace.env_steps == pytest.approx(1 / (1e-4 + 32e-5), rel=0.02)


def test_requests_for_variables_take_the_learner_from_learning() -> None:
    # A gradient step for each env step; every tenth a request, which takes as long as ten gradient steps.
    services = ALONE._replace(act=Work(0.01), learn=Work(0.001), fetch=Work(0.01))
    limiter = Limiter(1.0, 10, 8.0, 12.0)
    setup = Setup(services, limiter, batch_size=1, fetch_period=10)
    assert simulate(setup, 1).env_steps == pytest.approx(100, rel=0.01)
    # Seconds of the learner for ten env steps: 0.01 to learn, and as many for the request.
    assert simulate(setup, 8).env_steps == pytest.approx(10 / 0.02, rel=0.05)


def test_small_slack_never_leaves_both_sides_waiting() -> None:
    tight = Limiter(3.0, 5, 12.0, 18.0)
    setup = Setup(ALONE._replace(learn=Work(0.01)), tight, batch_size=60, games=16, pending=32)
    assert simulate(setup, 3).env_steps == pytest.approx(100 * 60 / 3, rel=0.02)


GRID = [*itertools.product((1, 2, 16), (2, math.inf), (1e-5, 1e-4), (2e-6, 2e-5), (1e-5, 8e-5), (1e-3, 2e-2))]


@pytest.mark.parametrize(("actors", "cores", "insert", "draw", "read", "learn"), GRID)
def test_no_program_is_faster_than_its_slowest_part(
    actors: int, cores: float, insert: float, draw: float, read: float, learn: float
) -> None:
    services = Services(
        Work(1e-4), Work(insert, 2.0), Work(draw, 4.0), Work(read), Work(learn, 1.5), Work(1e-4)
    )
    setup = make_setup(services)
    pace, most = simulate(setup, actors, cores), min(bounds(setup, actors, cores).values())
    # Buffers between all parts leave little to waiting, even where two bounds are close.
    assert 0.8 * most < pace.env_steps < 1.01 * most
    assert pace.env_steps == pytest.approx(16 * pace.gradient_steps, rel=0.02)


def test_same_again() -> None:
    setup = make_setup(ALONE._replace(learn=Work(0.01)))
    assert simulate(setup, 5, 2.0) == simulate(setup, 5, 2.0)


@pytest.mark.parametrize(("actors", "cores"), [(0, 1.0), (1, 0.0)])
def test_programs_without_actors_or_cores_are_refused(actors: int, cores: float) -> None:
    with pytest.raises(ValueError, match="needs an actor and a core"):
        simulate(make_setup(ALONE), actors, cores)
