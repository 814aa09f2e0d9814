"""Simulation by workers on a Ray cluster, to which the files of policies travel once."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.games.loading import load_game
from acme_psro.meta_game.simulation import Chunk, SampledReturns, play_chunk
from acme_psro.meta_game.simulators import SimulationError, Simulator, Task
from acme_psro.policies import stored
from acme_psro.policies.decoders import DECODERS, Decoder, decode
from acme_psro.system.executors import cluster
from acme_psro.system.executors.placing import Placing
from acme_psro.system.executors.pool_workers import WorkersLostError
from acme_psro.system.executors.worker_pool import WorkerPool

# Policies that a worker keeps at hand.
_KEPT = 256
# Chunks that a worker has at once: the next one travels while one is played.
_AHEAD = 2
# Seconds without any worker after which simulation is given up.
_PATIENCE = 600.0


class ClusterWorkers(Simulator):
    """Processes on the nodes of a cluster that simulate, one on each CPU core that the cluster offers.

    A file's content goes to a node the first time that it is played there; its digest stands for it.

    Args:
      placing: the cluster. Simulation uses CPUs only, whatever responses take.
      most: the largest number of workers; None for as many as there is room for.
      decoders: decoders by kind of policy, module-level functions, which workers find by their names.

    Raises:
      ValueError: the cluster is not found.
    """

    def __init__(
        self, placing: Placing, most: int | None = None, decoders: Mapping[str, Decoder] = DECODERS
    ) -> None:
        self._placing = dataclasses.replace(placing, cpus_per_response=1.0, gpus_per_response=0.0)
        self._most, self._decoders = most, dict(decoders)
        cluster.connect(self._placing)
        # References to contents in the object store of this node, by digest.
        self._sent: dict[str, Any] = {}
        self._pool: WorkerPool | None = None

    def describe(self) -> str:
        fitting = cluster.workers_that_fit(self._placing)
        return f"workers on the Ray cluster: {fitting if self._most is None else min(fitting, self._most)}"

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def play(self, tasks: Sequence[Task]) -> list[SampledReturns]:
        if self._pool is None:
            self._pool = WorkerPool(
                self._placing, playing, (self._decoders,), self._most, _AHEAD, patience=_PATIENCE
            )
        digests = {path: self._send(path) for path in sorted({path for task in tasks for path in task.paths})}
        answers = []
        for task in tasks:
            own = [digests[path] for path in task.paths]
            about = task.game, list(zip(own, task.paths, strict=True)), task.chunk, task.seed
            answers.append(self._pool.submit(about, *(self._sent[digest] for digest in own)))
        try:
            return [answer.result() for answer in answers]
        except WorkersLostError as error:
            self.close()
            raise SimulationError(str(error)) from None
        except BaseException:
            # Nobody needs the other chunks any more.
            self.close()
            raise

    def _send(self, path: str) -> str:
        """Returns the digest of a file whose content is in the object store.

        Raises:
          StoredPolicyError: it cannot be read.
        """
        import ray

        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise stored.StoredPolicyError(f"{path} cannot be read: {error.strerror}.") from None
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._sent:
            self._sent[digest] = ray.put(content)
        return digest


# Game, digest and path of each policy, chunk and seed.
About = tuple[str, Sequence[tuple[str, str]], Chunk, int]


def playing(decoders: Mapping[str, Decoder]) -> Callable[..., SampledReturns]:
    """Returns the function by which a worker plays chunks.

    Its arguments are the game's name, the digest and the path of each player's policy, the chunk and the
    seed, all in one tuple, and then the content of each player's file.
    """
    kept: collections.OrderedDict[tuple[str, int], BatchPolicy] = collections.OrderedDict()
    games: dict[str, Any] = {}

    def policy_of(game: str, player: int, digest: str, path: str, content: bytes) -> BatchPolicy:
        key = digest, player
        if key not in kept:
            if hashlib.sha256(content).hexdigest() != digest:
                raise stored.StoredPolicyError(f"{path} was altered on its way to another machine.")
            policy = stored.parse(content, path)
            stored.check_fits(policy, game, player, path)
            kept[key] = decode(policy, decoders)
        kept.move_to_end(key)
        while len(kept) > _KEPT:
            kept.popitem(last=False)
        return kept[key]

    def play(about: About, *contents: bytes) -> SampledReturns:
        game, files, chunk, seed = about
        if game not in games:
            games[game] = load_game(game)
        policies = [
            policy_of(game, player, *file, content)
            for player, (file, content) in enumerate(zip(files, contents, strict=True))
        ]
        return play_chunk(games[game], policies, chunk, seed)

    return play
