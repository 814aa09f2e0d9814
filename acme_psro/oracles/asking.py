"""Oracles that ask for their work instead of doing it, so that several runs can share one program.

A program does the work: it takes lanes, which are arrays with an axis `[L, ..]` in front, and treats every
lane alone. An oracle asks by a generator, which yields lanes and is sent their results. A single run answers
its own oracle; several runs share a program, which may put the lanes of many requests into one call.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from acme_psro.oracles.base import BestResponseTask, Response

# Nested arrays with an axis of lanes in front, and what a program returns for them, in the same order.
Lanes: TypeAlias = Any
Results: TypeAlias = Any
AnswerT = TypeVar("AnswerT")


class Program(Protocol):
    """A compiled function of lanes.

    Attributes:
      most_requests: the largest number of requests in one call. A call with fewer takes as long.
      parallel_calls: the number of calls that may run at the same time, each in a thread of its own.
    """

    most_requests: int
    parallel_calls: int

    def __call__(self, requests: Sequence[Lanes]) -> list[Results]:
        """Returns the results of each request; all requests have the same number of lanes."""
        ...


@runtime_checkable
class RemoteProgram(Program, Protocol):
    """A program whose calls are computed by workers elsewhere, in any number of threads here."""

    def describe(self) -> Sequence[str]:
        """Returns lines on the workers, for the display."""
        ...

    def close(self) -> None:
        """Ends the workers; calls that are not answered yet fail."""
        ...


@runtime_checkable
class AskingOracle(Protocol):
    """An oracle that can ask for its work."""

    def ask(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[Any, Any]]
    ) -> Generator[Lanes, Results, Sequence[Response[Any]]]:
        """Returns a generator that yields lanes, is sent their results, and returns one response a task."""
        ...

    def make_program(self, runs: int = 1, devices: Sequence[int] | None = None) -> Program:
        """Returns the program that answers what this oracle asks, and others with the same settings.

        Args:
          runs: the number of runs that share the program.
          devices: numbers of local devices, over which lanes are spread; None for all.

        Raises:
          ValueError: there is no such device.
        """
        ...


def answer(asking: Generator[Lanes, Results, AnswerT], program: Program | None) -> AnswerT:
    """Runs a generator that asks to its end and returns its answer.

    Args:
      asking: the generator, not started yet.
      program: does the work; None if the generator asks for none.
    """
    results = None
    while True:
        try:
            lanes = asking.send(results)
        except StopIteration as done:
            answered: AnswerT = done.value
            return answered
        assert program is not None, "only oracles with a program ask for its work"
        (results,) = program([lanes])
