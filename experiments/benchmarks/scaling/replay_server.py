"""Replay of a program without rate limits, for `probes`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import reverb
from reverb.platform.default import checkpointers

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import Parts, make_parts
from acme_psro.agent_runs.program.layout import ON_CPU
from acme_psro.system import files
from agents.acme_layer.replay import ReplayConfig


def serve(config: AgentRunConfig, said: Path) -> None:
    """Runs a replay server in its own process, until the process is ended.

    Args:
      config: the program's configuration.
      said: path of the JSON file for the server's port and the program's sizes.
    """
    parts = make_parts(config)
    with running(parts) as server:
        found = {
            "port": server.port,
            "process": os.getpid(),
            "actor_environment": ON_CPU,
            "limiter": limiter(parts),
            "sizes": sizes(parts.agent.builder.replay, config.games_per_actor),
        }
        files.write_atomically(said, json.dumps(found))
        server.wait()


@contextlib.contextmanager
def running(parts: Parts) -> Iterator[reverb.Server]:
    """Context manager that runs a server in this process with the builder's table, but no rate limits."""
    with tempfile.TemporaryDirectory(prefix="scaling_") as scratch:
        checkpointer = checkpointers.DefaultCheckpointer(scratch)
        server = reverb.Server(_tables(without_limits(parts)), checkpointer=checkpointer)
        try:
            yield server
        finally:
            server.stop()


def limiter(parts: Parts) -> list[float]:
    """Returns the fields of a `model.Limiter`, as Reverb reports them."""
    info = _tables(parts)[0].info.rate_limiter_info
    return [info.samples_per_insert, info.min_size_to_sample, info.min_diff, info.max_diff]


def _tables(parts: Parts) -> list[reverb.Table]:
    return parts.agent.builder.make_replay_tables(parts.spec, None)


def without_limits(parts: Parts) -> Parts:
    """Returns the same parts with a replay without rate limits."""
    builder = parts.agent.builder
    replay = dataclasses.replace(
        builder.replay, min_replay_size=1, samples_per_insert_tolerance_rate=math.inf
    )
    return parts._replace(agent=parts.agent._replace(builder=builder.with_replay(replay)))


def sizes(replay: ReplayConfig, games: int) -> dict[str, int]:
    """Returns the sizes of a `model.Setup`."""
    return {
        "batch_size": replay.batch_size,
        "gradient_steps": replay.gradient_steps_per_learner_step,
        "games": games,
        # The bound of the adder in `agents.acme_layer.batch_adder`.
        "pending": 2 * games,
        "fetch_period": replay.variable_update_period * games,
        "streams": replay.num_parallel_calls,
        "prefetch": max(1, replay.prefetch_size),
    }
