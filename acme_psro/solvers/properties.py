"""Properties of meta-solvers: the games that they take, and the solution concept that they promise."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Domain(enum.Enum):
    """Meta-games that a meta-solver takes; the value is their name in messages."""

    ANY = "all games"
    TWO_PLAYER = "two-player games"
    TWO_PLAYER_ZERO_SUM = "two-player zero-sum games"


class Concept(enum.Enum):
    """Solution concepts, by which a meta-solver's answer is certified.

    The certificate is the largest gain of any player by a deviation inside the meta-game.
    """

    NASH = "Nash equilibrium"
    CE = "correlated equilibrium"
    CCE = "coarse correlated equilibrium"
    NONE = "no equilibrium"


class Properties(NamedTuple):
    """Properties of one meta-solver.

    Attributes:
      domain: the meta-games that it takes.
      concept: the solution concept of its answers.
      is_joint: True if it returns a joint distribution over profiles, False if it returns marginals.
    """

    domain: Domain = Domain.ANY
    concept: Concept = Concept.NASH
    is_joint: bool = False


# Solvers without an entry have the properties of `Properties()`.
PROPERTIES: dict[str, Properties] = {
    "nash": Properties(Domain.TWO_PLAYER_ZERO_SUM),
    "max_entropy_nash": Properties(Domain.TWO_PLAYER_ZERO_SUM),
    **dict.fromkeys(
        (
            "max_gini_cce",
            "half_epsilon_max_gini_cce",
            "min_epsilon_max_gini_cce",
            "max_entropy_cce",
            "max_welfare_cce",
            "regret_matching_cce",
            "hedge_cce",
        ),
        Properties(concept=Concept.CCE, is_joint=True),
    ),
    **dict.fromkeys(
        (
            "max_gini_ce",
            "half_epsilon_max_gini_ce",
            "min_epsilon_max_gini_ce",
            "max_entropy_ce",
            "max_welfare_ce",
            "regret_matching_ce",
        ),
        Properties(concept=Concept.CE, is_joint=True),
    ),
    "uniform": Properties(concept=Concept.NONE),
    "general_sum_nash": Properties(Domain.TWO_PLAYER),
    "last_k": Properties(concept=Concept.NONE),
    "alpha_rank": Properties(concept=Concept.NONE, is_joint=True),
    "alpha_rank_marginals": Properties(concept=Concept.NONE),
    # The first explores on purpose, and the last strategies of the second go round in cycles: neither
    # promises that nothing is left to gain.
    "shor": Properties(concept=Concept.NONE),
    "shor_evaluation": Properties(concept=Concept.NONE),
}


def properties_of(name: str) -> Properties:
    """Returns the properties of the meta-solver of this name."""
    return PROPERTIES.get(name, Properties())


def fits(name: str, num_players: int, zero_sum: bool) -> bool:
    """Returns True if the meta-solver of this name takes the meta-games of such a game.

    Args:
      name: the meta-solver's name.
      num_players: the game's number of players.
      zero_sum: True if the players' returns always add up to zero.
    """
    match properties_of(name).domain:
        case Domain.ANY:
            return True
        case Domain.TWO_PLAYER:
            return num_players == 2
        case Domain.TWO_PLAYER_ZERO_SUM:
            return num_players == 2 and zero_sum
