"""Loops by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import MetaGame
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.policies.tabular import Policy
from acme_psro.psro.loop import Loop
from acme_psro.psro.meta_solving import SolveMetaGame
from acme_psro.solvers import SOLVERS
from acme_psro.solvers.properties import Concept, properties_of


class Parts(NamedTuple):
    """Parts of a run in a compiled game that a loop may use.

    Attributes:
      tree: the compiled game.
      meta_game: knows exact payoffs.
      solve: the run's meta-solver.
      tolerance: the run ends once no player gains more than this, in utility units.
      neupl: the population of the loop "neupl".
      concept: the meta-solver's solution concept, of the loop "jpsro".
      ce_responses: the recommendations to which players respond in that loop.
    """

    tree: GameTree
    meta_game: MetaGame[Policy, np.ndarray]
    solve: SolveMetaGame
    tolerance: float
    neupl: NeuPLConfig = NeuPLConfig()
    concept: Concept = Concept.NASH
    ce_responses: str = "largest_gap"


class LoopEntry(NamedTuple):
    """A loop behind a name.

    Attributes:
      summary: what it does, for lists of loops.
      make: makes the loop in a compiled game.
      needs_tree: True if the game must be compiled, whatever the oracle.
      uses_solver: True if the loop asks the meta-solver.
      zero_sum_only: True if it needs a two-player zero-sum game.
      trains_members: True if its oracles train whole populations, see `acme_psro.neupl`.
      default_solver: the meta-solver that it asks if none is named.
      converges: False if it may stop short of an equilibrium even with exact responses.
      is_joint: True if its meta-solvers return joint distributions, False if they return marginals.
      may_share: True if both players of a symmetric game may have one population.
      distils: True if responses are learned on the device and distilled into one network of all players, see
        `acme_psro.neupl.distilling_oracle`.
      takes_graphs: True if it also runs, with the device oracle, in games that compile to graphs alone.
    """

    summary: str
    make: Callable[[Parts], Loop[Policy, np.ndarray]]
    needs_tree: bool = True
    uses_solver: bool = False
    zero_sum_only: bool = False
    trains_members: bool = False
    default_solver: str = "nash"
    converges: bool = True
    is_joint: bool = False
    may_share: bool = False
    distils: bool = False
    takes_graphs: bool = False

    @property
    def is_lasting(self) -> bool:
        """Returns True if a policy never changes once it has joined its population."""
        return not (self.trains_members or self.distils)


def _make_psro(parts: Parts) -> Loop[Policy, np.ndarray]:
    from acme_psro.psro import meta_solving

    return meta_solving.make_loop(parts.meta_game, parts.solve)


def _make_xdo(parts: Parts) -> Loop[Policy, np.ndarray]:
    # Loops are imported when they are asked for, as solvers of linear programs take long to import.
    from acme_psro.psro import xdo

    return xdo.make_loop(parts.tree, parts.tolerance)


def _make_anytime(parts: Parts) -> Loop[Policy, np.ndarray]:
    from acme_psro.psro import anytime

    return anytime.make_loop(parts.tree)


def _make_jpsro(parts: Parts) -> Loop[Policy, np.ndarray]:
    from acme_psro.psro import joint

    return joint.make_loop(parts.tree, parts.meta_game, parts.solve, parts.concept, parts.ce_responses)


def _make_neupl_jpsro(parts: Parts) -> Loop[Policy, np.ndarray]:
    from acme_psro.psro import neupl_joint

    return neupl_joint.make_loop(parts.tree, parts.meta_game, parts.solve)


def _make_rectified(parts: Parts) -> Loop[Policy, np.ndarray]:
    from acme_psro.psro import rectified

    return rectified.make_loop(parts.meta_game, parts.solve)


def _make_neupl(parts: Parts) -> Loop[Policy, np.ndarray]:
    from acme_psro.neupl.members import make_graph_maker
    from acme_psro.neupl.responses import known_payoffs
    from acme_psro.neupl.sinks import find_shared, make_sink
    from acme_psro.psro import neupl

    shared = find_shared(parts.tree, make_sink(parts.tree, parts.neupl))
    make_graph = make_graph_maker(parts.neupl, shared is not None)
    return neupl.make_loop(parts.meta_game, parts.solve, parts.neupl, make_graph, known_payoffs)


LOOPS: dict[str, LoopEntry] = {
    "psro": LoopEntry(
        "mixes whole policies by a meta-solver",
        _make_psro,
        needs_tree=False,
        uses_solver=True,
        may_share=True,
        takes_graphs=True,
    ),
    "jpsro": LoopEntry(
        "mixes whole policies of all players together, by a correlated equilibrium",
        _make_jpsro,
        needs_tree=False,
        uses_solver=True,
        default_solver="max_gini_cce",
        is_joint=True,
        may_share=True,
        takes_graphs=True,
    ),
    "neupl_jpsro": LoopEntry(
        "mixes policies of all players together that are all of one network",
        _make_neupl_jpsro,
        uses_solver=True,
        default_solver="max_gini_cce",
        is_joint=True,
        distils=True,
    ),
    "xdo": LoopEntry(
        "mixes the actions of policies, by a restricted game in extensive form",
        _make_xdo,
        takes_graphs=True,
    ),
    "anytime": LoopEntry(
        "mixes whole policies so that nobody exploits them more than before",
        _make_anytime,
        zero_sum_only=True,
    ),
    "rectified": LoopEntry(
        "mixes whole policies, and responds for each of them to those that it beats",
        _make_rectified,
        uses_solver=True,
        zero_sum_only=True,
        converges=False,
    ),
    "neupl": LoopEntry(
        "trains all members of populations of a fixed size in one network",
        _make_neupl,
        needs_tree=False,
        uses_solver=True,
        zero_sum_only=True,
        trains_members=True,
        takes_graphs=True,
    ),
}


def get_loop(name: str) -> LoopEntry:
    """Returns the loop of this name.

    Raises:
      ValueError: the name is unknown. The message lists the known names.
    """
    if name not in LOOPS:
        raise ValueError(f"--loop={name} is not known; use one of {', '.join(sorted(LOOPS))}.")
    return LOOPS[name]


def check_loop_fits(name: str, num_players: int, zero_sum: bool) -> None:
    """Checks that a loop can run in a game.

    Raises:
      ValueError: the name is unknown, or the loop does not fit. The message lists the loops that fit.
    """
    if not get_loop(name).zero_sum_only or (num_players == 2 and zero_sum):
        return
    game = "general-sum" if num_players == 2 else f"{num_players}-player"
    fitting = ", ".join(sorted(each for each, entry in LOOPS.items() if not entry.zero_sum_only))
    raise ValueError(
        f"--loop={name} is for two-player zero-sum games, this one is {game}; use one of {fitting}."
    )


def check_solver_serves(name: str, meta_solver: str) -> None:
    """Checks that a loop can use a meta-solver's kind of answers.

    Raises:
      ValueError: a name is unknown, or the kind is another one. The message lists meta-solvers of the kind.
    """
    entry = get_loop(name)
    if not entry.uses_solver:
        return
    alike = [each for each in SOLVERS if properties_of(each).is_joint == entry.is_joint]
    if entry.distils:
        # A player has one response, and one new member, whatever is recommended to it.
        alike = [each for each in alike if properties_of(each).concept is not Concept.CE]
        if properties_of(meta_solver).concept is Concept.CE:
            raise ValueError(
                f"--loop={name} has one response a player, for coarse correlated equilibria, and meta-solver "
                f"{meta_solver} asks for one for each recommendation; use one of "
                f"{', '.join(sorted(alike))}, or --loop=jpsro."
            )
    if properties_of(meta_solver).is_joint == entry.is_joint:
        return
    kinds = ("marginals", "a joint distribution")
    fitting = ", ".join(sorted(alike))
    other = "" if entry.is_joint else ", or --loop=jpsro"
    raise ValueError(
        f"meta-solver {meta_solver} returns {kinds[not entry.is_joint]}, and --loop={name} needs "
        f"{kinds[entry.is_joint]}; use one of {fitting}{other}."
    )
