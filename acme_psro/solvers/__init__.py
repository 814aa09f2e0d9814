"""Meta-solvers: a payoff tensor `[P, n_1, .., n_P]` in, a meta-strategy out.

Every solver is a deterministic pure function `solve(payoffs, *, ..options) -> MetaStrategy`.
"""

from collections.abc import Callable

from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.solvers import nash, prd, regret_matching, uniform

# Options are keyword-only and differ between solvers; functools.partial sets them.
Solver = Callable[..., ProductStrategy]

SOLVERS: dict[str, Solver] = {
    "nash": nash.solve,
    "uniform": uniform.solve,
    "prd": prd.solve,
    "regret_matching": regret_matching.solve,
}

_TWO_PLAYER_ZERO_SUM = frozenset({"nash"})


def get_solver(name: str) -> Solver:
    """Returns the meta-solver of this name.

    Raises:
      ValueError: no such meta-solver; the message lists those there are.
    """
    if name not in SOLVERS:
        raise ValueError(f"no meta-solver named {name!r}; use one of {', '.join(sorted(SOLVERS))}")
    return SOLVERS[name]


def check_solver_fits(name: str, num_players: int, zero_sum: bool) -> None:
    """Checks, before any work, that a meta-solver takes this kind of game.

    Args:
      name: a key of `SOLVERS`.
      num_players: of the game.
      zero_sum: whether the players' returns always add up to zero.

    Raises:
      ValueError: no such meta-solver, or it does not fit; the message lists those that do.
    """
    get_solver(name)
    if name not in _TWO_PLAYER_ZERO_SUM or (num_players == 2 and zero_sum):
        return
    kind = f"{num_players}-player {'zero-sum' if zero_sum else 'general-sum'}"
    fitting = ", ".join(sorted(SOLVERS.keys() - _TWO_PLAYER_ZERO_SUM))
    raise ValueError(
        f"meta-solver {name} is for two-player zero-sum games, this one is {kind}; use one of {fitting}"
    )
