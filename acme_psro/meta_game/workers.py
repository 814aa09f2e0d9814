"""Simulation in several processes, which are given paths of stored policies and read them once each.

A worker that is killed or hangs costs time only: what it had not finished is played again, and comes out as
it would have the first time. Workers ignore Ctrl-C, which is their parent's to handle, and end with it.
"""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.games.loading import load_game
from acme_psro.meta_game.simulation import SampledReturns, play_chunk
from acme_psro.meta_game.simulators import SimulationError as SimulationError
from acme_psro.meta_game.simulators import Simulator, Task
from acme_psro.policies import stored
from acme_psro.policies.decoders import DECODERS, Decoder, decode

# Policies that a worker keeps at hand.
_KEPT = 256
# Tasks under way, for each worker.
_AHEAD = 4


class Workers(Simulator):
    """Processes that simulate; to be used in a `with` statement, or closed.

    Args:
      num_workers: processes; they use CPUs only.
      decoders: decoders by kind of policy, module-level functions, which processes find by their names.
      patience: seconds without any result after which the workers are taken to hang, and replaced. Long
        enough for the first one, before which they import and compile.
      max_restarts: how often workers are replaced in one simulation.

    Raises:
      ValueError: numbers below what makes sense.
    """

    def __init__(
        self,
        num_workers: int,
        decoders: Mapping[str, Decoder] = DECODERS,
        patience: float = 600.0,
        max_restarts: int = 3,
    ) -> None:
        if num_workers < 1 or not patience > 0 or max_restarts < 0:
            raise ValueError(
                f"simulation needs at least 1 worker, patience above 0 and max_restarts not below 0, not "
                f"{num_workers}, {patience} and {max_restarts}."
            )
        self._num_workers = num_workers
        self._decoders = dict(decoders)
        self._patience = patience
        self._max_restarts = max_restarts
        self._pool: concurrent.futures.ProcessPoolExecutor | None = None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def describe(self) -> str:
        return f"workers: {self._num_workers}"

    def play(self, tasks: Sequence[Task]) -> list[SampledReturns]:
        played: dict[int, SampledReturns] = {}
        for _ in range(self._max_restarts + 1):
            waiting = {number: task for number, task in enumerate(tasks) if number not in played}
            if not waiting:
                break
            self._play(waiting, played)
        else:
            if len(played) < len(tasks):
                raise SimulationError(
                    f"workers that simulate {tasks[0].game} were killed or hung {self._max_restarts + 1} "
                    "times: see whether memory runs out, or start fewer of them."
                )
        return [played[number] for number in range(len(tasks))]

    def _play(self, tasks: Mapping[int, Task], played: dict[int, SampledReturns]) -> None:
        """Adds the results of the tasks that are finished before workers are lost."""
        pool, queue = self._open(), iter(tasks.items())
        running: dict[concurrent.futures.Future[SampledReturns], int] = {}
        try:
            while True:
                # No more than keep all busy: waiting for many is slow.
                for number, task in itertools.islice(queue, _AHEAD * self._num_workers - len(running)):
                    running[pool.submit(_work, task)] = number
                if not running:
                    return
                done, _ = concurrent.futures.wait(running, self._patience, concurrent.futures.FIRST_COMPLETED)
                if not done:
                    self._abandon()
                    return
                for future in done:
                    played[running.pop(future)] = future.result()
        except BrokenProcessPool:
            self._abandon()
        except Exception:
            # What a task raises leaves the workers as they are.
            for future in running:
                future.cancel()
            raise
        except BaseException:
            self._abandon()
            raise

    def _open(self) -> concurrent.futures.ProcessPoolExecutor:
        if self._pool is None:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self._num_workers,
                # Forking a process with threads, as JAX's has, may lock for ever.
                multiprocessing.get_context("spawn"),
                _begin,
                (self._decoders,),
            )
        return self._pool

    def _abandon(self) -> None:
        """Kills the workers; others are started when they are needed."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # The executor has no other way to end a worker that hangs.
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


_decoders: dict[str, Decoder] = {}


def _begin(decoders: dict[str, Decoder]) -> None:
    """Prepares a worker: before anything is computed, it is kept off accelerators."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import jax

    jax.config.update("jax_platforms", "cpu")
    _decoders.update(decoders)


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, which would leave it waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _work(task: Task) -> SampledReturns:
    policies = [_policy(path, _stamp(path), task.game, player) for player, path in enumerate(task.paths)]
    return play_chunk(_game(task.game), policies, task.chunk, task.seed)


@functools.cache
def _game(name: str) -> Any:
    return load_game(name)


@functools.lru_cache(_KEPT)
def _policy(path: str, stamp: tuple[int, ...], game: str, player: int) -> BatchPolicy:
    """Returns a decoded policy, which is cached while its file does not change."""
    del stamp
    policy = stored.read(Path(path))
    stored.check_fits(policy, game, player, path)
    return decode(policy, _decoders)


def _stamp(path: str) -> tuple[int, ...]:
    if not os.path.exists(path):
        return ()
    status = os.stat(path)
    return (status.st_ino, status.st_mtime_ns, status.st_size)
