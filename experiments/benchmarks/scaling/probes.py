"""Measurements of the parts of a program, each in a separate process that `services` starts.

A process writes its results to a file as one JSON object. They consist of wall-clock times and of the CPU
times of the threads as reported by the operating system.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import courier  # type: ignore[import-untyped]
import jax
import numpy as np
import psutil  # type: ignore[import-untyped]
import reverb
from acme import core
from acme.utils import counting, loggers

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import Parts, make_parts
from acme_psro.agent_runs.program.game_batches import make_game_batch
from acme_psro.system import files
from agents.acme_layer.batched_acting import BatchedLoop
from agents.acme_layer.learner import VARIABLES, CoreLearner
from experiments.benchmarks.scaling import replay_server
from experiments.benchmarks.scaling.services import Cost, Usage

# Repetitions before the measurement, in which programs are compiled and buffers are filled.
_FIRST_STEPS, _FIRST_SAMPLES, _FIRST_CALLS = 1000, 12, 5
_RECORDED_STEPS = 64
_FILLING_DECISIONS = 20_000
_WRITERS = 4


class Probe(NamedTuple):
    """Operation to measure.

    Attributes:
      do: repeats the operation about the given number of times, and returns the actual number.
      first: the number of repetitions before the measurement.
    """

    do: Callable[[int], int]
    first: int


def measure(probe: Probe, seconds: float, server: psutil.Process | None = None) -> Cost:
    """Measures the mean cost of one repetition.

    Args:
      probe: the operation.
      seconds: approximate duration of the measurement.
      server: replay's process, if it is involved.
    """
    probe.do(probe.first)
    began = time.perf_counter()
    done = probe.do(probe.first)
    times = max(probe.first, round(seconds * done / (time.perf_counter() - began)))
    processes = [process for process in (psutil.Process(), server) if process is not None]
    before = [_usage(process) for process in processes]
    began = time.perf_counter()
    done = probe.do(times)
    passed = time.perf_counter() - began
    uses = [_difference(*pair, done) for pair in zip(before, map(_usage, processes), strict=True)]
    return Cost(passed / done, uses[0], uses[1] if server is not None else None)


# CPU seconds of each thread of a process by its id, and of the whole process.
_Seconds = tuple[dict[int, float], float]


def _usage(process: psutil.Process) -> _Seconds:
    times = process.cpu_times()
    return {
        each.id: each.user_time + each.system_time for each in process.threads()
    }, times.user + times.system


def _difference(before: _Seconds, after: _Seconds, done: int) -> Usage:
    busiest = max(seconds - before[0].get(thread, 0.0) for thread, seconds in after[0].items())
    return Usage((after[1] - before[1]) / done, busiest / done)


def probe_actor(
    config: AgentRunConfig, seconds: float, port: int, server: int, held: contextlib.ExitStack
) -> dict[str, Cost]:
    """Measures an env step without writing, an env step with writing, and writing alone."""
    parts, client = make_parts(config), reverb.Client(f"localhost:{port}")
    learner, replay = make_learner(config, parts, iter(())), psutil.Process(server)
    writers = [writing(config, parts, client) for _ in range(_WRITERS)]
    return {
        "acting": measure(acting(config, parts, learner, None), seconds),
        "acting_and_writing": measure(acting(config, parts, learner, client), seconds, replay),
        "writing": measure(writers[0], seconds, replay),
        "several_writing": measure(side_by_side(writers), seconds, replay),
    }


def acting(
    config: AgentRunConfig, parts: Parts, source: core.VariableSource, client: reverb.Client | None
) -> Probe:
    """Makes a probe of an actor's env steps; without a client nothing is written."""
    builder, games = parts.agent.builder, make_game_batch(config, config.seed)
    adder = None if client is None else builder.make_batch_adder(client, games.num_games, games.nothing)
    networks, key = parts.agent.network_factory(parts.spec), jax.random.PRNGKey(config.seed)
    actor = builder.make_batched_actor(key, networks, parts.spec, source, adder)
    counter = counting.Counter()
    loop = BatchedLoop(games, actor, counter, loggers.NoOpLogger())

    def act(steps: int) -> int:
        before = counter.get_counts().get("steps", 0)
        loop.run(num_steps=steps)
        return int(counter.get_counts()["steps"] - before)

    return Probe(act, _FIRST_STEPS)


def writing(config: AgentRunConfig, parts: Parts, client: reverb.Client) -> Probe:
    """Makes a probe that writes decisions as fast as possible: recorded uniform play, repeatedly."""
    games, rng = make_game_batch(config, config.seed), np.random.default_rng(config.seed)
    adder = parts.agent.builder.make_batch_adder(client, games.num_games, games.nothing)
    seen = games.reset()
    adder.add_first(seen)
    recorded = []
    for _ in range(_RECORDED_STEPS):
        legal = np.asarray(seen.legal_actions)
        actions = np.array([rng.choice(np.flatnonzero(row)) for row in legal], np.int32)
        steps = games.step(actions)
        recorded.append((actions, steps))
        seen = steps.observation
    again = itertools.cycle(recorded)

    def write(decisions: int) -> int:
        calls = -(-decisions // games.num_games)
        for actions, steps in itertools.islice(again, calls):
            adder.add(actions, steps.observation, steps.reward, steps.last)
        return calls * games.num_games

    return Probe(write, _FIRST_STEPS)


def side_by_side(probes: Sequence[Probe]) -> Probe:
    """Makes a probe that runs several probes in parallel threads with equal shares."""

    def do(times: int) -> int:
        with concurrent.futures.ThreadPoolExecutor(len(probes)) as threads:
            share = -(-times // len(probes))
            return sum(threads.map(lambda probe: probe.do(share), probes))

    return Probe(do, sum(probe.first for probe in probes))


def probe_learner(
    config: AgentRunConfig, seconds: float, port: int, server: int, held: contextlib.ExitStack
) -> dict[str, Cost]:
    """Measures drawing a decision, a gradient step, and requests for variables, local and over Courier."""
    parts = make_parts(config)
    client, process = held.enter_context(_replay(config, parts, port, server))
    samples = parts.agent.builder.make_dataset_iterator(client)
    drawn = next(samples)
    costs = {"reading": measure(reading(samples, parts), seconds, process)}
    learner = make_learner(config, parts, itertools.repeat(drawn))
    costs["learning"] = measure(learning(learner, parts), seconds)
    costs["variables"] = measure(fetching(learner), seconds)
    node = courier.Server("learner")
    node.Bind("get_variables", learner.get_variables)
    node.Start()
    try:
        costs["far_variables"] = measure(fetching(courier.Client(node.address)), seconds)
    finally:
        node.Stop()
    return costs


@contextlib.contextmanager
def _replay(
    config: AgentRunConfig, parts: Parts, port: int, server: int
) -> Iterator[tuple[reverb.Client, psutil.Process | None]]:
    """Context manager for a filled replay, in a separate process or in this one, as in the program."""
    if config.has_replay_process:
        yield reverb.Client(f"localhost:{port}"), psutil.Process(server)
        return
    with replay_server.running(parts) as own:
        client = reverb.Client(f"localhost:{own.port}")
        writing(config, parts, client).do(_FILLING_DECISIONS)
        yield client, None


def reading(samples: Iterator[reverb.ReplaySample], parts: Parts) -> Probe:
    """Makes a probe that draws decisions in the same way as the learner, without learning."""
    size = parts.agent.builder.replay.items_per_sample

    def read(decisions: int) -> int:
        calls = -(-decisions // size)
        for _ in range(calls):
            next(samples)
        return calls * size

    return Probe(read, _FIRST_SAMPLES * size)


def learning(learner: CoreLearner, parts: Parts) -> Probe:
    """Makes a probe of gradient steps."""
    at_once = parts.agent.builder.replay.gradient_steps_per_learner_step

    def learn(steps: int) -> int:
        calls = -(-steps // at_once)
        for _ in range(calls):
            learner.step()
        return calls * at_once

    return Probe(learn, _FIRST_CALLS * at_once)


def fetching(source: Any) -> Probe:
    """Makes a probe of consecutive requests for variables."""

    def fetch(times: int) -> int:
        for _ in range(times):
            source.get_variables(list(VARIABLES))
        return times

    return Probe(fetch, _FIRST_CALLS)


def make_learner(config: AgentRunConfig, parts: Parts, samples: Iterator[reverb.ReplaySample]) -> CoreLearner:
    """Makes the program's learner without logging."""
    networks, key = parts.agent.network_factory(parts.spec), jax.random.PRNGKey(config.seed)
    builder = parts.agent.builder
    return builder.make_learner(key, networks, samples, lambda *_, **__: loggers.NoOpLogger(), parts.spec)


_PROBES = {"actor": probe_actor, "learner": probe_learner}


def main(name: str, task_json: str, said: Path) -> None:
    """Runs the measurements of one part and writes the results to the file `said`."""
    task = json.loads(task_json)
    config = AgentRunConfig.from_json(task["config"])
    if name == "replay":
        replay_server.serve(config, said)
    with contextlib.ExitStack() as held:
        costs = _PROBES[name](config, task["seconds"], task["port"], task["server"], held)
        # Written before anything is closed, because Reverb's server may wait forever for open samplers.
        files.write_atomically(said, json.dumps(costs))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
