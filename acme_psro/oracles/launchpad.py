"""Best responses by programs: every task goes out as files, and its policy comes back as one.

What runs a program, on this machine or on others, is passed in. A task's place on disk depends on the key
alone: an outer loop that was killed finds what was finished, and what was begun, when it asks again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from acme_psro import mixtures, stored_policies
from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.population import make_policy, mixture, replace

LAUNCH_TYPES = ("local_mp", "local_mt")


@dataclasses.dataclass(frozen=True)
class LaunchpadConfig:
    """How much is played for one response, and by what.

    Attributes:
      actor_steps: decisions of the learning player, over all actors, after which a program ends.
      actors_per_response: actors of a program.
      games_per_actor: games that an actor plays side by side.
      max_parallel_programs: programs that run side by side.
      lp_launch_type: a name of `LAUNCH_TYPES`: processes or threads.
    """

    actor_steps: int = 100_000
    actors_per_response: int = 1
    games_per_actor: int = 16
    max_parallel_programs: int = 1
    lp_launch_type: str = "local_mp"

    def __post_init__(self) -> None:
        for name in ("actor_steps", "actors_per_response", "games_per_actor", "max_parallel_programs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.lp_launch_type not in LAUNCH_TYPES:
            raise ValueError(
                f"no lp_launch_type named {self.lp_launch_type!r}; there are {', '.join(LAUNCH_TYPES)}."
            )


class Program(NamedTuple):
    """A best response to be found.

    Attributes:
      game: `str` of OpenSpiel's, turn-based.
      player: who responds.
      opponents: a mixture directory, see `acme_psro.mixtures`.
      directory: where the program may write; what lies there of an earlier launch is gone on with.
      seed: of everything random, 0 to 2**32 - 1.
    """

    game: str
    player: int
    opponents: Path
    directory: Path
    seed: int


class Learned(NamedTuple):
    """What a program found.

    Attributes:
      policy: the file of a stored policy, see `acme_psro.stored_policies`.
      episodes: games played by its actors.
      env_steps: decisions taken by the learning player.
      gradient_steps: optimiser updates of the critic.
      metrics: the learner's own figures at the end.
    """

    policy: Path
    episodes: int
    env_steps: int
    gradient_steps: int
    metrics: Mapping[str, float] = MappingProxyType({})


# Runs all programs, as many side by side as it likes; raises a RuntimeError where one fails for good.
RunPrograms = Callable[[Sequence[Program]], Sequence[Learned]]
# (tree, stored policy) -> `[I_p, A]`: its probabilities at all of its player's information states.
MakeTable = Callable[[GameTree, stored_policies.StoredPolicy], np.ndarray]


def make_oracle(
    tree: GameTree, directory: Path, run_programs: RunPrograms, make_table: MakeTable, tolerance: float = 1e-9
) -> Oracle:
    """An oracle of best responses that programs learn, in a game that was compiled.

    A response is the program's most probable action everywhere; its gain is measured exactly.

    Args:
      directory: where tasks lie.
      tolerance: a response is kept if it gains more than this over the mixture, else dropped. For a player
        who cannot gain more by any response no program is run.
    """

    def respond(key: np.ndarray, tasks: Sequence[BestResponseTask]) -> list[Response]:
        gains = [_best_gain(tree, task) for task in tasks]
        place = directory / "".join(f"{number:08x}" for number in key.tolist())
        wanted = [task for task, gain in zip(tasks, gains, strict=True) if gain > tolerance]
        programs = [_write_task(tree, place, key, task) for task in wanted]
        found = {
            program.player: learned
            for program, learned in zip(programs, run_programs(programs) if programs else (), strict=True)
        }
        return [
            _measure(tree, task, gain, found.get(task.player), make_table, tolerance)
            for task, gain in zip(tasks, gains, strict=True)
        ]

    return respond


def _best_gain(tree: GameTree, task: BestResponseTask) -> float:
    plan = mixture(tree, task.populations, task.meta_strategy.marginals)
    best = traverse.best_response(tree, plan, task.player).value
    return max(float(best - traverse.expected_returns(tree, plan)[task.player]), 0.0)


def _write_task(tree: GameTree, place: Path, key: np.ndarray, task: BestResponseTask) -> Program:
    """Writes the opponents, unless they lie there: a program may be half-way through them."""
    directory = place / f"player_{task.player}"
    opponents = directory / "opponents"
    if not mixtures.exists(opponents):
        others = [() if player == task.player else own for player, own in enumerate(task.populations)]
        policies = tuple(
            tuple(stored_policies.from_tree_policy(tree, player, policy) for policy in population)
            for player, population in enumerate(others)
        )
        weights = tuple(
            marginal[: len(own)] for marginal, own in zip(task.meta_strategy.marginals, others, strict=True)
        )
        mixtures.write(opponents, mixtures.Mixture(tree.game_string, policies, weights))
    seed = np.random.SeedSequence([*key.tolist(), task.player]).generate_state(1)[0]
    return Program(tree.game_string, task.player, opponents, directory / "run", int(seed))


def _measure(
    tree: GameTree,
    task: BestResponseTask,
    best_gain: float,
    learned: Learned | None,
    make_table: MakeTable,
    tolerance: float,
) -> Response:
    if learned is None:
        return Response(None, best_gain, best_gain)
    rows = tree.infosets_of(task.player)
    probs = make_table(tree, stored_policies.read(learned.policy))
    choice = np.where(tree.legal_actions[rows], probs, -1.0).argmax(axis=1)
    policy = make_policy(tree, task.player, np.eye(tree.num_actions)[choice])
    plan = mixture(tree, task.populations, task.meta_strategy.marginals)
    answered = traverse.expected_returns(tree, replace(tree, plan, task.player, policy))
    gain = float(answered[task.player] - traverse.expected_returns(tree, plan)[task.player])
    kept = policy if gain > tolerance else None
    return Response(
        kept, gain, best_gain, learned.episodes, learned.env_steps, learned.gradient_steps, learned.metrics
    )
