"""Timing of updates of sbx-rl's CrossQ, run by the peer's interpreter.

Questions and answers are lines of JSON. A question is {"width": width of the critics, "gradient_steps": steps
in one call, "updates": steps in total}. The answer is {"seconds": time of all updates}, which includes
compilation if the program was not compiled before. The first line reports the versions.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from typing import Any

import numpy as np
from gymnasium import Env, spaces
from sbx import CrossQ  # type: ignore[import-not-found]
from stable_baselines3.common.logger import Logger  # type: ignore[import-not-found]


class _Spaces(Env[np.ndarray, np.ndarray]):
    """Environment that has only observation and action spaces."""

    def __init__(self, observation_size: int, action_size: int) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (action_size,), np.float32)


def make_model(width: int, arguments: argparse.Namespace) -> Any:
    """Makes CrossQ with critics of two layers of this width and a full buffer of random transitions.

    Everything else has sbx-rl's defaults.
    """
    model = CrossQ(
        "MlpPolicy",
        _Spaces(arguments.observation_size, arguments.action_size),
        buffer_size=arguments.buffer_size,
        batch_size=arguments.batch_size,
        policy_kwargs={"net_arch": {"pi": [arguments.policy_width] * 2, "qf": [width] * 2}},
        seed=0,
    )
    rng, buffer = np.random.default_rng(0), model.replay_buffer
    for values in (buffer.observations, buffer.next_observations, buffer.rewards):
        values[...] = rng.standard_normal(values.shape)
    buffer.actions[...] = rng.uniform(-1, 1, buffer.actions.shape)
    buffer.full = True
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def time_updates(model: Any, gradient_steps: int, updates: int, batch_size: int) -> float:
    """Returns the seconds of `updates` updates, with `gradient_steps` in each call.

    Each call waits for its result.
    """
    began = time.perf_counter()
    for _ in range(updates // gradient_steps):
        model.train(batch_size=batch_size, gradient_steps=gradient_steps)
    return time.perf_counter() - began


def main() -> None:
    """Answers questions until the end of standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("observation_size", "action_size", "policy_width", "batch_size", "buffer_size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    packages = {"sbx-rl": "sbx-rl", "JAX": "jax", "Python": None}
    python = ".".join(map(str, sys.version_info[:3]))
    versions = {name: importlib.metadata.version(pkg) if pkg else python for name, pkg in packages.items()}
    print(json.dumps({"versions": versions}), flush=True)
    models: dict[int, Any] = {}
    for line in sys.stdin:
        question = json.loads(line)
        width, gradient_steps = question["width"], question["gradient_steps"]
        if width not in models:
            models[width] = make_model(width, arguments)
        seconds = time_updates(models[width], gradient_steps, question["updates"], arguments.batch_size)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
