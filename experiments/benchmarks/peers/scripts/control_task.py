"""Flags and reports of a peer's training on a control task.

The module imports only the standard library, so that every interpreter can run it.
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

# Evaluation has initial states of its own, the same for both peers.
_EVALUATION_SEED = 10_000


class ControlTask(NamedTuple):
    """Task of a training run.

    Attributes:
      environment: name of the environment, `gymnasium:ID` or `dm_control:DOMAIN:TASK`.
      seed: random seed of the run.
      width: width of the two hidden layers of each network.
      learning_starts: env steps before the first gradient step.
      marks: numbers of env steps after which to evaluate, ascending. Training ends at the last one.
      episodes: the number of episodes of an evaluation.
    """

    environment: str
    seed: int
    width: int
    learning_starts: int
    marks: tuple[int, ...]
    episodes: int

    @property
    def hidden_sizes(self) -> list[int]:
        return [self.width, self.width]

    @property
    def evaluation_seed(self) -> int:
        return self.seed + _EVALUATION_SEED


def flags_of(task: ControlTask) -> list[str]:
    """Returns the flags from which `parse` restores the task."""
    marks = ",".join(map(str, task.marks))
    return [f"--{name}={marks if name == 'marks' else value}" for name, value in task._asdict().items()]


def parse(argv: list[str] | None = None) -> ControlTask:
    """Parses a task from command-line flags."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", required=True)
    for name in ("seed", "width", "learning_starts", "episodes"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--marks", type=lambda text: tuple(map(int, text.split(","))), required=True)
    return ControlTask(**vars(parser.parse_args(argv)))


def report(actor_steps: int, episode_return: float, seconds: float) -> None:
    """Prints an evaluation as one line of JSON.

    Args:
      actor_steps: env steps done before the evaluation.
      episode_return: mean return of the evaluation's episodes.
      seconds: duration of the evaluation.
    """
    row = {"actor_steps": actor_steps, "episode_return": episode_return, "evaluation_seconds": seconds}
    print(json.dumps(row), flush=True)
