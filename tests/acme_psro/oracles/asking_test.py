"""Tests of acme_psro.oracles.asking."""

from collections.abc import Generator, Sequence

import numpy as np
import pytest

from acme_psro.oracles.asking import AskingOracle, answer


class _Doubling:
    """A program that doubles its lanes, and remembers how many requests each call had."""

    most_requests = parallel_calls = 1

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, requests: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.calls.append(len(requests))
        return [2 * lanes for lanes in requests]


def _asking(times: int) -> Generator[np.ndarray, np.ndarray, np.ndarray]:
    lanes = np.ones(3)
    for _ in range(times):
        lanes = yield lanes
    return lanes


def test_a_generator_gets_the_results_of_what_it_asks_for() -> None:
    program = _Doubling()
    np.testing.assert_array_equal(answer(_asking(4), program), np.full(3, 16.0))
    assert program.calls == [1, 1, 1, 1]


def test_a_generator_that_asks_for_nothing_needs_no_program() -> None:
    np.testing.assert_array_equal(answer(_asking(0), None), np.ones(3))


def test_what_a_program_raises_ends_the_asking() -> None:
    def fail(requests: Sequence[np.ndarray]) -> list[np.ndarray]:
        raise MemoryError(f"{len(requests)} requests")

    with pytest.raises(MemoryError, match="1 requests"):
        answer(_asking(1), fail)  # type: ignore[arg-type]


def test_oracles_that_only_answer_do_not_ask() -> None:
    assert not isinstance(lambda key, tasks: [], AskingOracle)
