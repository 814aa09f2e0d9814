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
from acme_psro.oracles.launchpad.choice import MOST_CANDIDATES, choose
from acme_psro.oracles.launchpad.tasks import Learned, Program, RunPrograms, write_task
from acme_psro.policies import stored
from acme_psro.policies.meta_strategy import require_weights
from acme_psro.policies.stored import PolicyFile, StoredPolicy

# Standard errors that a gain must exceed. Training a response takes far longer than simulating a useless one:
# at one standard error, a useless response is kept about once in six times, and a response whose true gain is
# two standard errors is dropped as rarely.
KEPT_ERRORS = 1.0
Task = BestResponseTask[PolicyFile, SampledPayoffs]

# Keep the random numbers of simulation apart from those of learning, and of each other.
_STREAM, _CHOICE_STREAM = 0x6A17, 0xC401


def make_oracle(
    game: SampledMetaGame,
    directory: Path,
    run_programs: RunPrograms,
    place_policy: Callable[[int, int], Path],
    tolerance: float = 1e-9,
    trembles: float = 0.0,
) -> Oracle[PolicyFile, SampledPayoffs]:
    """Returns an oracle of best responses that programs learn in a game that is simulated.

    A response plays the most probable action of the program's network everywhere, at the end of training or
    at an earlier snapshot that is clearly better in simulated games. It is kept if it gains more than one
    standard error over the mixture, in other games. The gain of an exact best response is unknown, hence NaN.

    Args:
      game: simulates, and knows the payoffs that tasks bring.
      directory: the directory of tasks.
      run_programs: runs the programs.
      place_policy: (player, index) -> the file of a policy that joins its player's population.
      tolerance: a response is dropped too if it gains no more than this.
      trembles: see `LaunchpadConfig`. Gains are over the mixture alone.
    """

    def to_stored(player: int, policy: PolicyFile) -> StoredPolicy:
        del player
        return stored.read(policy.path)

    def respond(key: np.ndarray, tasks: Sequence[Task]) -> list[Response[PolicyFile]]:
        written = [write_task(game.name, directory, key, task, to_stored, trembles) for task in tasks]
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
    if task.payoffs is None:
        raise ValueError("a response's gain is estimated from payoffs: the task must bring them.")
    strategy = require_weights(task.meta_strategy)
    newest = learned.candidates[-MOST_CANDIDATES:]
    policies = [_read_greedy(path, game.name, task.player) for path in newest]
    # Workers read policies from files. The response gets a place in its population only after it is measured.
    tried = [program.directory.parent / f"response_{index}.npz" for index in range(len(policies))]
    for path, policy in zip(tried, policies, strict=True):
        stored.write(path, policy)
    # The gain is estimated in other games than those in which its policy was the best, or it would be
    # overstated.
    choosing, measuring = (
        int(np.random.SeedSequence([*key.tolist(), task.player, stream]).generate_state(1)[0])
        for stream in (_CHOICE_STREAM, _STREAM)
    )
    choice = choose(game, tried, task.player, task.populations, strategy, choosing)
    policy, best = policies[choice.place], tried[choice.place]
    gain = estimate_gain(game, best, task.player, task.populations, strategy, task.payoffs, measuring)
    for path in tried:
        path.unlink()
    kept = None
    if gain.value > max(tolerance, KEPT_ERRORS * gain.standard_error):
        # The index follows from the population, so a run that is killed here writes the same file again.
        path = place_policy(task.player, len(task.populations[task.player]))
        kept = stored.write_file(path, policy)
    return Response(
        kept,
        gain.value,
        math.nan,
        learned.counts + Counts(episodes=choice.episodes + game.config.gain_episodes),
        learned.metrics,
        gain.standard_error,
        gain.own_error,
    )


def _read_greedy(path: Path, game: str, player: int) -> StoredPolicy:
    """Reads a policy that a program learned, as one that takes the most probable action everywhere."""
    policy = stored.read(path)
    stored.check_fits(policy, game, player, str(path))
    # A learner's probabilities still explore, which costs return against a fixed mixture.
    if policy.about["kind"] == "network":
        policy = policy._replace(about=policy.about | {"greedy": True})
    return policy
