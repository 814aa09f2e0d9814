"""Functions of workers for tests, which workers import."""

import os
import pathlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def make_scaling(factor: float) -> Callable[..., tuple[float, str, int]]:
    """Makes a function that scales a number; it also returns its node and its process."""

    def scale(number: float, seconds: float = 0.0) -> tuple[float, str, int]:
        import ray

        time.sleep(seconds)
        return factor * number, ray.get_runtime_context().get_node_id(), os.getpid()

    return scale


def make_trouble(directory: str, times: int) -> Callable[[str], int]:
    """Makes a function that returns the number of its calls so far, after the trouble in its argument."""

    def trouble(kind: str) -> int:
        calls = len(list(pathlib.Path(directory).iterdir()))
        (pathlib.Path(directory) / f"call_{calls}").write_text(str(os.getpid()))
        if kind == "error":
            raise ValueError("no such thing: ask for another.")
        if calls < times:
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return calls + 1

    return trouble


def make_nothing() -> Callable[[], None]:
    """Fails."""
    raise ValueError("this worker cannot be made: take another.")


def make_echo(config: Mapping[str, Any], game: bytes) -> Callable[[Sequence[Any]], list[Any]]:
    """Makes a program of lanes that returns as many numbers as the configuration says, and does no work."""
    del game
    size = config["size"]
    return lambda requests: [np.zeros(size, np.float32) for _ in requests]
