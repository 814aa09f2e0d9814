"""Best responses by programs: every task goes out as files, and its policy comes back as one.

What runs a program, on this machine or on others, is passed in. A task's place on disk depends on the key
alone: an outer loop that was killed finds what was finished, and what was begun, when it asks again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.oracles.base import BestResponseTask, Counts
from acme_psro.policies import mixture_files, mixtures, stored
from acme_psro.policies.meta_strategy import (
    JointStrategy,
    PopulationStrategy,
    ProductStrategy,
    drawn_policies,
    meta_strategy_to_json,
    require_weights,
)
from acme_psro.policies.stored import StoredPolicy
from acme_psro.system.files import write_atomically

# File of a task: the digest of its opponents.
_DIGEST = "opponents.sha256"


class Program(NamedTuple):
    """A best response to be found.

    Attributes:
      game: the game's name, see `acme_psro.games.identity`.
      player: who responds.
      opponents: a mixture directory, see `acme_psro.policies.mixture_files`.
      directory: the program's own directory; a program that was launched there before is resumed.
      seed: the seed of everything random, 0 to 2**32 - 1.
    """

    game: str
    player: int
    opponents: Path
    directory: Path
    seed: int


class Learned(NamedTuple):
    """Result of a program.

    Attributes:
      policy: the file of a stored policy, see `acme_psro.policies.stored`.
      counts: the work done for it.
      metrics: the learner's own figures at the end.
      snapshots: files of the policy earlier in training, oldest first.
    """

    policy: Path
    counts: Counts
    metrics: Mapping[str, float] = MappingProxyType({})
    snapshots: tuple[Path, ...] = ()

    @property
    def candidates(self) -> tuple[Path, ...]:
        """Files of all policies from which the response is chosen, the final one last."""
        return (*self.snapshots, self.policy)


# Runs all programs, some of them side by side; raises a RuntimeError if one fails for good.
RunPrograms = Callable[[Sequence[Program]], Sequence[Learned]]


def write_task(
    game: str,
    directory: Path,
    key: np.ndarray,
    task: BestResponseTask[PolicyT, PayoffsT],
    to_stored: Callable[[int, PolicyT], StoredPolicy],
    trembles: float = 0.0,
) -> Program:
    """Writes a task's opponents, unless they exist already: a program may be using them.

    If the task had other opponents when it was written, what its program left is removed, because a response
    to them would be taken for one to these.

    Args:
      game: the game's name, see `acme_psro.games.identity`.
      directory: the directory of tasks.
      key: `[2]` uint32, the key of all tasks of an iteration.
      task: the best response to find.
      to_stored: (player, policy of a population) -> the same as a stored policy.
      trembles: see `acme_psro.oracles.launchpad.config.LaunchpadConfig`.
    """
    place = task_directory(directory, key, task.player)
    opponents = place / "opponents"
    strategy = _without_own(require_weights(task.meta_strategy), task.player)
    others = [() if player == task.player else own for player, own in enumerate(task.populations)]
    drawn = {
        (player, index): to_stored(player, others[player][index])
        for player, index in drawn_policies(strategy, others)
    }
    _claim(place, _digest(game, strategy, drawn))
    if not mixture_files.exists(opponents):
        # Policies that are never drawn are not written. The mixture keeps their places, because its weights
        # refer to policies by index.
        policies = tuple(
            tuple(
                drawn.get((player, index)) or (to_stored(player, policy) if trembles else None)
                for index, policy in enumerate(own)
            )
            for player, own in enumerate(others)
        )
        mixture_files.write(opponents, mixtures.Mixture(game, policies, strategy, trembles))
    # Players share the key; each needs a seed of its own.
    seed = np.random.SeedSequence([*key.tolist(), task.player]).generate_state(1)[0]
    return Program(game, task.player, opponents, place / "run", int(seed))


def _digest(game: str, strategy: PopulationStrategy, drawn: Mapping[tuple[int, int], StoredPolicy]) -> str:
    """Returns a digest of opponents, of their policies by content. Trembles are no part of it."""
    policies = [[*index, stored.digest(policy)] for index, policy in drawn.items()]
    content = json.dumps([game, meta_strategy_to_json(strategy), policies], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _claim(place: Path, digest: str) -> None:
    """Records the opponents of a task, and removes the files of a task with other opponents."""
    path = place / _DIGEST
    if path.exists():
        if path.read_text().strip() == digest:
            return
        mixture_files.remove(place / "opponents")
        if (place / "run").exists():
            shutil.rmtree(place / "run")
    # Earlier versions wrote no digest, and never used a key for other opponents. The digest comes before the
    # files that it is of, so that a task whose writing is interrupted is recognised.
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(path, digest + "\n")


def _without_own(meta_strategy: PopulationStrategy, player: int) -> PopulationStrategy:
    """Returns the meta-strategy of the others: a product loses the responding player's own marginal."""
    if isinstance(meta_strategy, JointStrategy):
        return meta_strategy
    own = [weights[:0] if p == player else weights for p, weights in enumerate(meta_strategy.marginals)]
    return ProductStrategy(tuple(own))


def task_directory(directory: Path, key: np.ndarray, player: int) -> Path:
    """Returns the directory of a player's task, which follows from the key."""
    return directory / "".join(f"{number:08x}" for number in key.tolist()) / f"player_{player}"


def tidy_tasks(directory: Path, key: np.ndarray, num_players: int) -> bool:
    """Removes the large files of tasks whose responses are known and stored elsewhere.

    These are the opponents, the checkpoints and the snapshots. Configuration, logs and results stay, so that
    an outer loop that falls back to an earlier checkpoint finds its programs finished.

    Returns:
      False if there are no tasks with this key.
    """
    for player in range(num_players):
        place = task_directory(directory, key, player)
        mixture_files.remove(place / "opponents")
        for large in ("checkpoints", "snapshots"):
            if (place / "run" / large).exists():
                shutil.rmtree(place / "run" / large)
    return task_directory(directory, key, 0).parent.exists()
