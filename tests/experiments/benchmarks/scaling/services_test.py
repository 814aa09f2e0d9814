"""Tests of the work computed from measured costs, and of a real measurement of all parts."""

import dataclasses
import pathlib
import sys

import pytest

from experiments.benchmarks.scaling import services
from experiments.benchmarks.scaling.model import Limiter, Work
from experiments.benchmarks.scaling.programs import make_config
from experiments.benchmarks.scaling.services import Cost, Costs, Parts, Usage

COSTS = Costs(
    acting=Cost(40e-6, Usage(40e-6, 40e-6), None),
    acting_and_writing=Cost(90e-6, Usage(120e-6, 80e-6), Usage(30e-6, 10e-6)),
    writing=Cost(50e-6, Usage(50e-6, 30e-6), Usage(20e-6, 10e-6)),
    several_writing=Cost(45e-6, Usage(50e-6, 30e-6), Usage(20e-6, 10e-6)),
    reading=Cost(20e-6, Usage(64e-6, 16e-6), Usage(12e-6, 2e-6)),
    learning=Cost(2e-3, Usage(3e-3, 2e-3), None),
    variables=Cost(2e-4, Usage(2e-4, 2e-4), None),
    far_variables=Cost(2e-3, Usage(1e-3, 1e-3), None),
)
SIZES = {
    "batch_size": 512,
    "gradient_steps": 4,
    "games": 16,
    "pending": 32,
    "fetch_period": 160,
    "streams": 4,
    "prefetch": 4,
}
PARTS = Parts(COSTS, Limiter(32.0, 2000.0, 57_600.0, 70_400.0), SIZES)


def test_services_are_what_costs_say() -> None:
    services = PARTS.setup().services
    # All that an actor's threads do is for its one core.
    assert services.act == Work(120e-6, 1.0)
    # As long as the busiest thread takes, on as many cores as all threads keep busy meanwhile.
    assert services.insert == Work(10e-6, pytest.approx(3.0))
    assert services.draw == Work(2e-6, pytest.approx(6.0))
    assert services.read == Work(64e-6, 1.0)
    assert services.learn == (pytest.approx(2e-3), pytest.approx(1.5))
    assert services.fetch == Work(1e-3, 1.0)


def test_reading_in_the_servers_process_is_one_work_that_all_threads_share() -> None:
    here = COSTS._replace(reading=Cost(12e-6, Usage(24e-6, 10e-6), None))
    setup = Parts(here, PARTS.limiter, SIZES).setup()
    assert setup.services.draw == Work(0.0)
    assert setup.services.read == Work(10e-6, pytest.approx(2.4))
    assert setup.services.insert == PARTS.setup().services.insert
    assert (setup.streams, PARTS.setup().streams) == (1, 4)


def test_learner_that_had_to_wait_for_a_core_is_not_charged_for_it() -> None:
    slowed = COSTS._replace(learning=Cost(6e-3, Usage(3e-3, 2e-3), None))
    assert services.make_services(slowed).learn == Work(3e-3, 1.0)


def test_server_whose_threads_were_too_quick_to_be_seen_costs_next_to_nothing() -> None:
    assert Usage(0.0, 0.0).as_work() == Work(0.0)


def test_nobody_draws_where_nobody_learns() -> None:
    setup = PARTS.setup(learns=False)
    assert setup.limiter.samples_per_insert == 0
    assert setup.limiter.may_insert(10**9, 10**9, 0)
    assert PARTS.setup().limiter == PARTS.limiter


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
@pytest.mark.parametrize("with_learner", [True, False])
def test_all_parts_are_measured(with_learner: bool, tmp_path: pathlib.Path) -> None:
    made = make_config("crossq", "kuhn_poker", 0, 4, 0, 1, learns=True)
    config = dataclasses.replace(made, replay_with_learner=with_learner)
    parts = services.measure(config, 0.2, tmp_path, {})
    # What the program's own replay asks for, though the measured one lets everybody pass.
    assert parts.limiter == PARTS.limiter
    assert parts.sizes == SIZES | {"games": 4, "pending": 8, "fetch_period": 40}
    for name, cost in parts.costs._asdict().items():
        assert 0 < cost.seconds < 1
        assert 0 <= cost.here.thread_seconds <= 1.1 * cost.here.cpu_seconds + 1e-4
        is_read_here = with_learner and name == "reading"
        assert (cost.server is not None) is (name in _BY_REPLAY and not is_read_here)
    assert parts.costs.acting.seconds < parts.costs.acting_and_writing.seconds


_BY_REPLAY = ("acting_and_writing", "writing", "several_writing", "reading")


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_measurement_that_fails_is_told(tmp_path: pathlib.Path) -> None:
    config = make_config("crossq", "kuhn_poker", 5, 4, 0, 1, learns=True)
    with pytest.raises(RuntimeError, match=r"measuring the replay ended with code 1: .* has no player 5"):
        services.measure(config, 0.2, tmp_path, {})
