"""Tests of acme_psro.population_runs.together."""

import threading
import time
from collections.abc import Generator, Sequence

import pytest

from acme_psro.population_runs.together import run_together


class _Program:
    """A program that squares its requests, and remembers its calls."""

    def __init__(self, most_requests: int = 1, parallel_calls: int = 1, seconds: float = 0.0) -> None:
        self.most_requests, self.parallel_calls = most_requests, parallel_calls
        self.seconds = seconds
        self.calls: list[list[int]] = []
        self.threads: set[str] = set()
        self.at_work = self.most_at_work = 0
        self._lock = threading.Lock()

    def __call__(self, requests: Sequence[int]) -> list[int]:
        with self._lock:
            self.calls.append(list(requests))
            self.threads.add(threading.current_thread().name)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        time.sleep(self.seconds)
        with self._lock:
            self.at_work -= 1
        return [request**2 for request in requests]


def _squares(values: Sequence[int], seen: list[str] | None = None) -> Generator[int, int, list[int]]:
    """Asks for the square of each value, and notes the thread in which it goes on."""
    found = []
    for value in values:
        square = yield value
        found.append(square)
        if seen is not None:
            seen.append(threading.current_thread().name)
    return found


@pytest.mark.parametrize(("most", "parallel"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (5, 4)])
def test_every_run_gets_its_own_results(most: int, parallel: int) -> None:
    # Runs of different lengths, one of which asks for nothing.
    values = [list(range(run, 3 * run)) for run in range(4)]
    program = _Program(most, parallel, seconds=0.001)
    ends = run_together([_squares(own) for own in values], program)
    assert ends == [[value**2 for value in own] for own in values]
    assert sorted(value for call in program.calls for value in call) == sorted(
        value for own in values for value in own
    )
    assert max(len(call) for call in program.calls) <= most
    assert program.most_at_work <= parallel


def test_calls_are_full_as_long_as_all_runs_go_on() -> None:
    program = _Program(most_requests=3)
    run_together([_squares([10 * run, 10 * run + 1]) for run in range(3)], program)
    assert program.calls == [[0, 10, 20], [1, 11, 21]]


def test_runs_that_have_ended_leave_their_places_empty() -> None:
    program = _Program(most_requests=3)
    run_together([_squares([1]), _squares([2, 3, 4]), _squares([5, 6])], program)
    assert program.calls == [[1, 2, 5], [3, 6], [4]]


def test_runs_go_on_in_this_thread_and_calls_are_side_by_side_in_others() -> None:
    seen: list[str] = []
    program = _Program(parallel_calls=2, seconds=0.05)
    run_together([_squares([1, 2], seen) for _ in range(2)], program)
    assert set(seen) == {threading.current_thread().name}
    assert threading.current_thread().name not in program.threads
    assert program.most_at_work == 2


def test_without_a_program_runs_are_one_after_the_other() -> None:
    assert run_together([_squares([]), _squares([])], None) == [[], []]


def _ending(ends: list[BaseException], fails: bool = False) -> Generator[int, int, None]:
    try:
        yield 1
        if fails:
            raise OSError("no room")
        yield 2
        yield 3
    except BaseException as error:
        ends.append(error)
        raise


def test_a_run_that_fails_ends_all_others_in_good_order() -> None:
    ends: list[BaseException] = []
    with pytest.raises(OSError, match="no room") as raised:
        run_together([_ending(ends), _ending(ends, fails=True), _ending(ends)], _Program())
    assert ends == [raised.value] * 3


def test_a_program_that_fails_ends_all_runs() -> None:
    ends: list[BaseException] = []

    class Failing(_Program):
        def __call__(self, requests: Sequence[int]) -> list[int]:
            if requests == [2]:
                raise MemoryError
            return super().__call__(requests)

    with pytest.raises(MemoryError):
        run_together([_ending(ends), _ending(ends)], Failing(seconds=0.05, parallel_calls=2))
    assert [type(error) for error in ends] == [MemoryError] * 2
