"""Solutions of restricted games, by the method that suits their size."""

from __future__ import annotations

import math
import time

import numpy as np

from acme_psro.games import sequence_form
from acme_psro.games.tree import GameTree
from acme_psro.restricted_games import cfr
from acme_psro.restricted_games.certificate import Solution
from acme_psro.restricted_games.game import check_allowed

# Terminal nodes of the largest restricted game on which the linear program is tried. All of Liar's Dice with
# six sides has 147,420 and takes 5 s; the time grows faster than the size.
MAX_PROGRAM_TERMINALS = 400_000
# Share of the time that the linear program gets before regret minimisation takes over.
_PROGRAM_SHARE = 0.5


def solve(
    tree: GameTree,
    allowed: np.ndarray,
    tolerance: float = 1e-9,
    initial: np.ndarray | None = None,
    max_seconds: float = 300.0,
) -> Solution:
    """Solves a restricted game.

    A two-player zero-sum game that is not too large is solved by a linear program, which finds an equilibrium
    up to rounding. Any other one is solved by counterfactual regret minimisation, and so is one whose program
    takes too long. In a game that has more players or is not zero-sum, the policies of regret minimisation
    need not come near an equilibrium; the gap shows how near they are.

    Args:
      tree: the compiled game.
      allowed: `[I, A]` bool, the actions of the restricted game, at least one at each information state.
      tolerance: the gap (see `Solution`) that is exact enough, in utility units.
      initial: `[I, A]`, policies that regret minimisation tries first, such as the solution of a smaller
        restricted game, or None.
      max_seconds: limit on the time.

    Returns:
      The solution, of which `method` tells what found it. Its gap may be greater than `tolerance` if the time
      was too short, or if the game is not two-player zero-sum.

    Raises:
      ValueError: `allowed` is not a restricted game of this game, or a limit is out of range.
    """
    check_allowed(tree, allowed)
    if not (tolerance > 0 and math.isfinite(tolerance)):
        raise ValueError(f"the tolerance must be a positive number, and is {tolerance}.")
    if not max_seconds > 0:
        raise ValueError(f"max_seconds must be positive, and is {max_seconds}.")
    start = time.monotonic()
    if suits_program(tree, allowed):
        # Imported here because SciPy's solvers take long to import, and other games do not need them.
        from acme_psro.restricted_games import linear_program

        try:
            return linear_program.solve(tree, allowed, tolerance, max_seconds * _PROGRAM_SHARE)
        except RuntimeError:
            # HiGHS took too long or gave up. Regret minimisation has an answer at any time.
            pass
    left = max(max_seconds - (time.monotonic() - start), 0.0)
    solution = cfr.solve(tree, allowed, tolerance, initial=initial, max_seconds=left)
    return solution._replace(seconds=time.monotonic() - start)


def suits_program(tree: GameTree, allowed: np.ndarray) -> bool:
    """Returns True if a restricted game is solved by a linear program, rather than by regret minimisation."""
    if tree.num_players != 2 or not tree.zero_sum:
        return False
    terminals = sequence_form.used_terminals(tree, sequence_form.own_reach(tree, allowed))
    return int(terminals.sum()) <= MAX_PROGRAM_TERMINALS
