"""Several runs at the same time in one process: their oracles share one program.

Every run is a generator that yields the lanes it needs and is sent their results, see
`acme_psro.oracles.asking`. Everything else that runs do, they do in turn in this thread, so that no other
code needs to be safe in several threads. Meanwhile the program works for other runs. No run waits for another
one, however many requests each makes in an iteration.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from acme_psro.oracles.asking import Lanes, Program, RemoteProgram, Results

EndT = TypeVar("EndT")


def run_together(trainings: Sequence[Generator[Lanes, Results, EndT]], program: Program | None) -> list[EndT]:
    """Runs generators to their ends and returns what each of them returns.

    If one of them fails, the error is raised in all others too, so that they end in good order, and then
    here.

    Args:
      trainings: the generators, not started yet.
      program: answers the requests of all; None if they make none.
    """
    ends: dict[int, EndT] = {}
    answers = collections.deque[tuple[int, Results]]((run, None) for run in range(len(trainings)))
    requests = collections.deque[tuple[int, Lanes]]()
    calls: dict[Future[list[Results]], list[int]] = {}
    with ThreadPoolExecutor(1 if program is None else program.parallel_calls) as pool:
        try:
            while len(ends) < len(trainings):
                if answers:
                    run, results = answers.popleft()
                    try:
                        requests.append((run, trainings[run].send(results)))
                    except StopIteration as end:
                        ends[run] = end.value
                while program is not None and _is_due(len(requests), len(answers), len(calls), program):
                    batch = [requests.popleft() for _ in range(min(len(requests), program.most_requests))]
                    call = pool.submit(program, [lanes for _, lanes in batch])
                    calls[call] = [run for run, _ in batch]
                # Runs that can go on do so before anything is waited for.
                done = wait(calls, timeout=0 if answers else None, return_when=FIRST_COMPLETED).done
                for call in done:
                    answers.extend(zip(calls.pop(call), call.result(), strict=True))
        except BaseException as error:
            _abandon(calls, program)
            for run, training in enumerate(trainings):
                if run not in ends:
                    with contextlib.suppress(BaseException):
                        training.throw(error)
            raise
    return [ends[run] for run in range(len(trainings))]


def _abandon(calls: Iterable[Future[list[Results]]], program: Program | None) -> None:
    """Gives up calls that wait for their turn, and those that wait for workers elsewhere."""
    for call in calls:
        call.cancel()
    if isinstance(program, RemoteProgram):
        program.close()


def _is_due(requests: int, answers: int, calls: int, program: Program) -> bool:
    """Returns True if the program should be called now.

    A call with few requests takes as long as a full one, so it is put off while other runs can go on and may
    fill it.

    Args:
      requests: the number of requests that wait.
      answers: the number of runs that can go on.
      calls: the number of calls that are being computed.
      program: the program.
    """
    if requests >= program.most_requests:
        return True
    return requests > 0 and answers == 0 and calls < program.parallel_calls
