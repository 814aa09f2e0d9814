"""Tests that probes do the number of operations that they report."""

import itertools
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import reverb
from reverb.platform.default import checkpointers

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import Parts, make_parts
from agents.acme_layer.replay import ReplayConfig
from experiments.benchmarks.scaling import probes, replay_server
from experiments.benchmarks.scaling.probes import Probe

SMALL = {"critic_hidden_sizes": [8], "policy_hidden_sizes": [8], "num_critics": 1, "policy_delay": 1}
REPLAY = {"batch_size": 16, "gradient_steps_per_learner_step": 2, "prefetch_size": 1, "num_parallel_calls": 1}
CONFIG = AgentRunConfig(
    "crossq", "openspiel:kuhn_poker", 100, games_per_actor=4, agent_settings=SMALL, replay_settings=REPLAY
)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return make_parts(CONFIG)


@pytest.fixture
def client(parts: Parts) -> Iterator[reverb.Client]:
    """Client of a server without rate limits."""
    with tempfile.TemporaryDirectory() as scratch:
        free = replay_server.without_limits(parts)
        tables = free.agent.builder.make_replay_tables(parts.spec, None)
        server = reverb.Server(tables, checkpointer=checkpointers.DefaultCheckpointer(scratch))
        yield reverb.Client(f"localhost:{server.port}")
        server.stop()


def inserted(client: reverb.Client) -> int:
    return client.server_info()["priority_table"].current_size


def test_cost_is_for_each_time() -> None:
    calls: list[int] = []

    def sleep(times: int) -> int:
        calls.append(times)
        time.sleep(0.001 * times)
        return times

    cost = probes.measure(Probe(sleep, 10), 0.2)
    assert calls[:2] == [10, 10]
    assert 0.001 <= cost.seconds < 0.01
    # It slept.
    assert cost.here.thread_seconds <= cost.here.cpu_seconds + 1e-3
    assert cost.here.cpu_seconds < cost.seconds
    assert cost.server is None


def test_work_is_seen_in_both_processes() -> None:
    def work(times: int) -> int:
        end = time.process_time() + 0.002 * times
        while time.process_time() < end:
            pass
        return times

    cost = probes.measure(Probe(work, 1), 0.3, psutil.Process())
    # The system counts in hundredths of a second; the server is this process here.
    assert cost.here.cpu_seconds == pytest.approx(0.002, rel=0.25)
    assert cost.here.thread_seconds == pytest.approx(cost.here.cpu_seconds, rel=0.25)
    assert cost.server is not None
    assert cost.server.cpu_seconds == pytest.approx(0.002, rel=0.25)


def test_several_do_it_side_by_side() -> None:
    done: list[int] = []

    def do(times: int) -> int:
        done.append(times)
        return times

    both = probes.side_by_side([Probe(do, 3), Probe(do, 4)])
    assert both.first == 7
    assert both.do(9) == 10
    assert done == [5, 5]


def test_actor_writes_what_it_is_said_to(parts: Parts, client: reverb.Client) -> None:
    learner = probes.make_learner(CONFIG, parts, iter(()))
    silent = probes.acting(CONFIG, parts, learner, None)
    # The episodes of all games are played to their end.
    assert 40 <= silent.do(40) <= 40 + 2 * 4
    assert inserted(client) == 0
    made = probes.acting(CONFIG, parts, learner, client).do(40)
    assert made <= inserted(client) <= made + 2 * 4


def test_writer_writes_each_decision(parts: Parts, client: reverb.Client) -> None:
    probe = probes.writing(CONFIG, parts, client)
    assert probe.do(50) == 52
    assert probe.do(48) == 48
    deadline = time.monotonic() + 30
    while inserted(client) < 100 - 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    # Those of two steps may be under way.
    assert 100 - 8 <= inserted(client) <= 100


@pytest.mark.slow
def test_learner_learns_from_what_is_read(parts: Parts, client: reverb.Client) -> None:
    probes.writing(CONFIG, parts, client).do(200)
    samples = parts.agent.builder.make_dataset_iterator(client)
    sample = next(samples)
    assert sample.data.reward.shape == (32,)
    assert probes.reading(samples, parts).do(40) == 64
    learner = probes.make_learner(CONFIG, parts, itertools.repeat(sample))
    before = learner.save()
    assert probes.learning(learner, parts).do(3) == 4
    assert int(learner.save().step) == int(before.step) + 4
    assert probes.fetching(learner).do(2) == 2


def test_sizes_are_the_replays() -> None:
    replay = ReplayConfig(batch_size=8, gradient_steps_per_learner_step=3, prefetch_size=0)
    assert replay_server.sizes(replay, 4) == {
        "batch_size": 8,
        "gradient_steps": 3,
        "games": 4,
        "pending": 8,
        "fetch_period": 40,
        "streams": 4,
        "prefetch": 1,
    }


def test_limiter_is_the_tables(parts: Parts) -> None:
    limiter = replay_server.limiter(parts)
    # Twice the share that actors and learner may run apart, 0.1 * 32 * 2,000 draws, around 32 * 2,000.
    np.testing.assert_allclose(limiter, (32.0, 2000, 57_600.0, 70_400.0))
