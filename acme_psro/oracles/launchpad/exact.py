"""Best responses by programs in compiled games, with exact gains; see `tasks.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.evaluation import deviations
from acme_psro.evaluation.deviations import Deviation
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.oracles.exact import deviation_of
from acme_psro.oracles.launchpad.tasks import (
    Learned,
    RunPrograms,
    write_task,
)
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import StoredPolicy
from acme_psro.policies.tabular import Policy, make_policy

# (tree, stored policy) -> `[I_p, A]`: its probabilities at all of its player's information states.
MakeTable = Callable[[GameTree, StoredPolicy], np.ndarray]


def make_oracle(
    tree: GameTree,
    directory: Path,
    run_programs: RunPrograms,
    make_table: MakeTable,
    tolerance: float = 1e-9,
    trembles: float = 0.0,
) -> Oracle[Policy, np.ndarray]:
    """Returns an oracle of best responses that programs learn in a compiled game.

    A response plays the program's most probable action everywhere, at the snapshot that gains most. Gains are
    exact, and over the mixture alone, without trembles.

    Args:
      tree: the compiled game.
      directory: the directory of tasks.
      run_programs: runs the programs.
      make_table: makes a table of what a program learned.
      tolerance: a response is kept if it gains more than this over the mixture, else dropped. No program is
        run for a player who cannot gain more by any response.
      trembles: see `LaunchpadConfig`.
    """

    def to_stored(player: int, policy: Policy) -> StoredPolicy:
        return decoders.from_tree_policy(tree, player, policy)

    def respond(
        key: np.ndarray, tasks: Sequence[BestResponseTask[Policy, np.ndarray]]
    ) -> list[Response[Policy]]:
        asked = [deviation_of(tree, task) for task in tasks]
        gains = [deviations.best_gain(tree, deviation) for deviation in asked]
        wanted = [task for task, gain in zip(tasks, gains, strict=True) if gain > tolerance]
        # All programs are run by one call, so that they may run side by side.
        programs = [
            write_task(tree.game_string, directory, key, task, to_stored, trembles) for task in wanted
        ]
        found = {
            program.player: learned
            for program, learned in zip(programs, run_programs(programs) if programs else (), strict=True)
        }
        return [
            _measure(tree, deviation, gain, found.get(deviation.player), make_table, tolerance)
            for deviation, gain in zip(asked, gains, strict=True)
        ]

    return respond


def _measure(
    tree: GameTree,
    deviation: Deviation,
    best_gain: float,
    learned: Learned | None,
    make_table: MakeTable,
    tolerance: float,
) -> Response[Policy]:
    if learned is None:
        return Response(None, best_gain, best_gain)
    tables = [make_table(tree, stored.read(path)) for path in learned.candidates]
    policies = [_greedy(tree, deviation.player, table) for table in tables]
    gains = deviations.gains(tree, deviation, policies)
    # The best one first, and the later one of equals.
    order = sorted(range(len(policies)), key=lambda index: (gains[index], index), reverse=True)
    kept = _distinct([policies[index] for index in order if gains[index] > tolerance])
    return Response(
        kept[0] if kept else None,
        gains[order[0]],
        best_gain,
        learned.counts,
        learned.metrics,
        others=tuple(kept[1:]),
    )


def _greedy(tree: GameTree, player: int, probs: np.ndarray) -> Policy:
    """Returns the policy that takes the most probable action everywhere."""
    # Some best response is always deterministic, whereas a learner's probabilities still explore. The -1
    # keeps argmax on legal actions even if their probabilities have been rounded to 0.
    legal = tree.legal_actions[tree.infosets_of(player)]
    choice = np.where(legal, probs, -1.0).argmax(axis=1)
    return make_policy(tree, player, np.eye(tree.num_actions)[choice])


def _distinct(policies: Sequence[Policy]) -> list[Policy]:
    """Returns the policies without those that equal an earlier one."""
    found: dict[bytes, Policy] = {}
    for policy in policies:
        found.setdefault(policy.table.tobytes(), policy)
    return list(found.values())
