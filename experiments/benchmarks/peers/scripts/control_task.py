"""What a peer is asked to learn, from its flags, and how it reports; for any Python that has NumPy."""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

# Evaluation has initial states of its own, the same for both peers.
_EVALUATION_SEED = 10_000


class ControlTask(NamedTuple):
    """What to learn.

    Attributes:
      environment: its name, `gymnasium:ID` or `dm_control:DOMAIN:TASK`.
      seed: of everything random.
      width: of the two hidden layers of each network.
      learning_starts: env steps before the first gradient step.
      marks: env steps after which to evaluate, ascending; the last is where to end.
      episodes: of an evaluation.
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
    """What `parse` reads back."""
    marks = ",".join(map(str, task.marks))
    return [f"--{name}={marks if name == 'marks' else value}" for name, value in task._asdict().items()]


def parse(argv: list[str] | None = None) -> ControlTask:
    """The task that the flags name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", required=True)
    for name in ("seed", "width", "learning_starts", "episodes"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--marks", type=lambda text: tuple(map(int, text.split(","))), required=True)
    return ControlTask(**vars(parser.parse_args(argv)))


def report(actor_steps: int, episode_return: float, seconds: float) -> None:
    """Prints an evaluation: after how many env steps, the mean return, and the seconds that it took."""
    row = {"actor_steps": actor_steps, "episode_return": episode_return, "evaluation_seconds": seconds}
    print(json.dumps(row), flush=True)
