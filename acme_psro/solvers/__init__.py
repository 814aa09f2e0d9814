"""Meta-solvers, which map a payoff tensor `[P, n_1, .., n_P]` to a meta-strategy.

Every solver is a deterministic pure function `solve(payoffs, *, ..options)`, which returns marginals or a
joint distribution. `properties.py` says which, and which games it takes. The role of meta-solvers in
policy-space response oracles is described by Lanctot et al. (2017), arXiv:1711.00832.
"""

import functools
from collections.abc import Callable

from acme_psro.policies.meta_strategy import PopulationStrategy
from acme_psro.solvers import (
    alpha_rank,
    correlated,
    general_sum_nash,
    internal_regret_matching,
    joint_regret_matching,
    last_k,
    max_entropy_nash,
    nash,
    prd,
    regret_matching,
    shor,
    uniform,
)
from acme_psro.solvers.properties import Concept, fits, properties_of

# Options are keyword-only and differ between solvers; functools.partial sets them.
Solver = Callable[..., PopulationStrategy]

SOLVERS: dict[str, Solver] = {
    "nash": nash.solve,
    "max_entropy_nash": max_entropy_nash.solve,
    "uniform": uniform.solve,
    "prd": prd.solve,
    "regret_matching": regret_matching.solve,
    "general_sum_nash": general_sum_nash.solve,
    "last_k": last_k.solve,
    "alpha_rank": alpha_rank.solve,
    "alpha_rank_marginals": alpha_rank.solve_marginals,
    "shor": shor.solve,
    "shor_evaluation": shor.solve_evaluation,
    "max_gini_cce": correlated.max_gini,
    "max_gini_ce": functools.partial(correlated.max_gini, concept=Concept.CE),
    "half_epsilon_max_gini_cce": functools.partial(correlated.max_gini, share=0.5),
    "half_epsilon_max_gini_ce": functools.partial(correlated.max_gini, concept=Concept.CE, share=0.5),
    "min_epsilon_max_gini_cce": correlated.min_epsilon_max_gini,
    "min_epsilon_max_gini_ce": functools.partial(correlated.min_epsilon_max_gini, concept=Concept.CE),
    "max_entropy_cce": correlated.max_entropy,
    "max_entropy_ce": functools.partial(correlated.max_entropy, concept=Concept.CE),
    "max_welfare_cce": correlated.max_welfare,
    "max_welfare_ce": functools.partial(correlated.max_welfare, concept=Concept.CE),
    "regret_matching_cce": joint_regret_matching.regret_matching_plus,
    "regret_matching_ce": internal_regret_matching.solve,
    "hedge_cce": joint_regret_matching.hedge,
}


def get_solver(name: str) -> Solver:
    """Returns the meta-solver of this name.

    Args:
      name: a key of `SOLVERS`.

    Raises:
      ValueError: the name is unknown. The message lists the known names.
    """
    if name not in SOLVERS:
        raise ValueError(f"no meta-solver named {name!r}; use one of {', '.join(sorted(SOLVERS))}")
    return SOLVERS[name]


def check_solver_fits(name: str, num_players: int, zero_sum: bool) -> None:
    """Checks that a meta-solver can solve the meta-games of a game.

    A run calls this before it starts any work, so that an unsuitable solver does not fail an iteration later.

    Args:
      name: a key of `SOLVERS`.
      num_players: the game's number of players.
      zero_sum: True if the players' returns always add up to zero.

    Raises:
      ValueError: the name is unknown, or the solver does not fit. The message lists the solvers that fit.
    """
    get_solver(name)
    if fits(name, num_players, zero_sum):
        return
    # With another number of players it does not matter what returns add up to, which may not be known yet.
    game = "general-sum" if num_players == 2 else f"{num_players}-player"
    # Loops take one kind of answers.
    is_joint = properties_of(name).is_joint
    fitting = ", ".join(
        sorted(
            each
            for each in SOLVERS
            if fits(each, num_players, zero_sum) and properties_of(each).is_joint == is_joint
        )
    )
    taken = properties_of(name).domain.value
    raise ValueError(f"meta-solver {name} is for {taken}, this one is {game}; use one of {fitting}")
