"""The other players of a person: whole policies that are drawn for each game, or one policy for each player.

If a run stores tables and its players draw independently, each of them plays the one policy that is
equivalent to its mixture (Kuhn 1953), whose probabilities tell more than those of a drawn policy. Otherwise,
policies are drawn at the start of each game, together if the run has a joint distribution: there are no
independent policies that are equivalent then.

Dimensions: `P` players, `n_p` policies of player p.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games.graph import INFORMATION_STATES
from acme_psro.games.information_states import make_namer
from acme_psro.games.tree import GameTree
from acme_psro.policies.meta_strategy import JointStrategy, PopulationStrategy, make_draw
from acme_psro.policies.tabular import Population

if TYPE_CHECKING:
    from acme_psro.games.batch_policies import BatchPolicy

# A function `(state, player) -> probabilities of the legal actions` of a player who is to move.
Behaviour = Callable[[Any, int], dict[int, float]]


class Lineup(NamedTuple):
    """The policies of one game.

    Attributes:
      behaviour: plays for every player.
      notes: `[P]`, a clause on what was drawn for each player, or nothing.
    """

    behaviour: Behaviour
    notes: tuple[str, ...]


class Values(NamedTuple):
    """The players' expected returns if all play as the run does, in the game's utility units.

    Attributes:
      returns: `[P]`.
      standard_errors: `[P]`, NaN if not known; None if the returns are exact.
    """

    returns: Sequence[float]
    standard_errors: Sequence[float] | None = None


@dataclasses.dataclass(frozen=True)
class Opponents:
    """All that a game against a run needs.

    Attributes:
      game: the OpenSpiel game, in turn-based form.
      name: the game's name, see `acme_psro.games.identity`.
      manner: the policies that the others play, as the object of a sentence.
      draw: draws the policies of a game.
      values: computes the game's values, or None if they are not known.
      seen_by: the description of states by which the policies decide: one of `acme_psro.games.views.NAMES`,
        or information states.
    """

    game: pyspiel.Game
    name: str
    manner: str
    draw: Callable[[np.random.Generator], Lineup]
    values: Callable[[], Values | None]
    seen_by: str = INFORMATION_STATES


def fixed(behaviour: Behaviour, players: int) -> Callable[[np.random.Generator], Lineup]:
    """Returns a draw that gives the same policies to every game.

    Args:
      behaviour: plays for every player.
      players: `P`.
    """
    lineup = Lineup(behaviour, ("",) * players)
    return lambda rng: lineup


def of_tables(
    tree: GameTree, game: pyspiel.Game, populations: Sequence[Population], strategy: PopulationStrategy
) -> Callable[[np.random.Generator], Lineup]:
    """Returns a draw of whole policies on a compiled game.

    Args:
      tree: the compiled game.
      game: the same game, of OpenSpiel.
      populations: one a player.
      strategy: the distribution over their policies.
    """
    name = make_namer(game)
    rows = {
        (player, key): row
        for player in range(tree.num_players)
        for row, key in enumerate(tree.keys[tree.infosets_of(player)])
    }

    def choose(profile: Sequence[int]) -> Behaviour:
        def behaviour(state: Any, player: int) -> dict[int, float]:
            table = populations[player][profile[player]].table
            row = table[rows[player, name(state, player)]]
            return {action: float(row[action]) for action in state.legal_actions(player)}

        return behaviour

    return _of_profiles(choose, strategy, [len(own) for own in populations])


def of_batch_policies(
    policies: Sequence[Sequence[BatchPolicy]], strategy: PopulationStrategy
) -> Callable[[np.random.Generator], Lineup]:
    """Returns a draw of whole policies that play OpenSpiel's states.

    Args:
      policies: `[P][n_p]`; those without weight are never called. A player without any is never asked.
      strategy: the distribution over them.
    """

    def choose(profile: Sequence[int]) -> Behaviour:
        def behaviour(state: Any, player: int) -> dict[int, float]:
            row = policies[player][profile[player]]([state], player)[0]
            return {action: float(row[action]) for action in state.legal_actions(player)}

        return behaviour

    return _of_profiles(choose, strategy, [len(own) for own in policies])


def _of_profiles(
    choose: Callable[[Sequence[int]], Behaviour], strategy: PopulationStrategy, sizes: Sequence[int]
) -> Callable[[np.random.Generator], Lineup]:
    """Returns a draw of profiles, which are drawn again for every game."""
    sample = make_draw(strategy)

    def draw(rng: np.random.Generator) -> Lineup:
        profile = sample(rng, 1)[0].tolist()
        return Lineup(choose(profile), _describe_draw(profile, strategy, sizes))

    return draw


def _describe_draw(
    profile: Sequence[int], strategy: PopulationStrategy, sizes: Sequence[int]
) -> tuple[str, ...]:
    """Returns a clause on each player's policy, with its probability."""
    notes = []
    for player, (index, size) in enumerate(zip(profile, sizes, strict=True)):
        if isinstance(strategy, JointStrategy):
            same = (strategy.profiles == np.asarray(profile)).all(axis=1)
            probability = float(strategy.probabilities[same].sum())
            how = f"drawn with those of the others, {tuple(profile)}, with probability {probability:.3f}"
        elif size > 1:
            how = f"drawn with probability {strategy.marginals[player][index]:.3f}"
        else:
            how = ""
        notes.append(f"policy {index} of {size}, {how}" if how else "")
    return tuple(notes)
