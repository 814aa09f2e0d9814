"""Best responses by programs in games too large to compile: gains are found by play.

Policies are files; see `acme_psro.oracles.launchpad.tasks` and `acme_psro.policies.stored`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.evaluation.sampled import estimate_gain
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.sampled import SampledMetaGame
from acme_psro.oracles.base import BestResponseTask, Counts, Oracle, Response
from acme_psro.oracles.launchpad.tasks import Learned, Program, RunPrograms, write_task
from acme_psro.policies import stored
from acme_psro.policies.meta_strategy import require_product
from acme_psro.policies.stored import PolicyFile, StoredPolicy

# Standard errors that a gain must exceed. Training a response takes far longer than simulating a useless one:
# at one standard error, a useless response is kept about once in six times, and a response whose true gain is
# two standard errors is dropped as rarely.
KEPT_ERRORS = 1.0
Task = BestResponseTask[PolicyFile, SampledPayoffs]

# Keeps the random numbers of simulation apart from those of learning.
_STREAM = 0x6A17


def make_oracle(
    game: SampledMetaGame,
    directory: Path,
    run_programs: RunPrograms,
    place_policy: Callable[[int, int], Path],
    tolerance: float = 1e-9,
) -> Oracle[PolicyFile, SampledPayoffs]:
    """Returns an oracle of best responses that programs learn in a game that is simulated.

    A response plays the most probable action of the program's network everywhere. It is kept if it gains more
    than one standard error over the mixture. The gain of an exact best response is unknown, hence NaN.

    Args:
      game: simulates, and knows the payoffs that tasks bring.
      directory: the directory of tasks.
      run_programs: runs the programs.
      place_policy: (player, index) -> the file of a policy that joins its player's population.
      tolerance: a response is dropped too if it gains no more than this.
    """

    def to_stored(player: int, policy: PolicyFile) -> StoredPolicy:
        del player
        return stored.read(policy.path)

    def respond(key: np.ndarray, tasks: Sequence[Task]) -> list[Response[PolicyFile]]:
        written = [write_task(game.name, directory, key, task, to_stored) for task in tasks]
        learned = run_programs(written)
        return [
            _measure(game, key, task, program, found, place_policy, tolerance)
            for task, program, found in zip(tasks, written, learned, strict=True)
        ]

    return respond


def _measure(
    game: SampledMetaGame,
    key: np.ndarray,
    task: Task,
    program: Program,
    learned: Learned,
    place_policy: Callable[[int, int], Path],
    tolerance: float,
) -> Response[PolicyFile]:
    policy = stored.read(learned.policy)
    stored.check_fits(policy, game.name, task.player, str(learned.policy))
    # A learner's probabilities still explore, which costs return against a fixed mixture.
    if policy.about["kind"] == "network":
        policy = policy._replace(about=policy.about | {"greedy": True})
    # Workers read policies from files. The response gets a place in its population only after it is measured.
    tried = program.directory.parent / "response.npz"
    stored.write(tried, policy)
    seed = np.random.SeedSequence([*key.tolist(), task.player, _STREAM]).generate_state(1)[0]
    if task.payoffs is None:
        raise ValueError("a response's gain is estimated from payoffs: the task must bring them.")
    strategy = require_product(task.meta_strategy)
    gain = estimate_gain(game, tried, task.player, task.populations, strategy, task.payoffs, int(seed))
    tried.unlink()
    kept = None
    if gain.value > max(tolerance, KEPT_ERRORS * gain.standard_error):
        # The index follows from the population, so a run that is killed here writes the same file again.
        path = place_policy(task.player, len(task.populations[task.player]))
        kept = stored.write_file(path, policy)
    return Response(
        kept,
        gain.value,
        math.nan,
        learned.counts + Counts(episodes=game.config.gain_episodes),
        learned.metrics,
        gain.standard_error,
        gain.own_error,
    )
