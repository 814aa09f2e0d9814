"""Policy-space response oracles (Lanctot et al. 2017): the outer loop, and nothing but it.

One iteration: every player's best response to the others' meta-strategy joins its population, the payoff
tensor grows, the meta-solver answers with a new meta-strategy. Oracle, payoffs and solver are passed in, and
what a policy is and how payoffs are kept is between them: the loop looks into neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from acme_psro.meta_game.payoffs import empty_payoffs
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.policies.meta_strategy import ProductStrategy

# (populations, payoffs known so far) -> payoffs of all profiles: an array `[P, n_1, .., n_P]`, or an
# `acme_psro.meta_game.estimates.SampledPayoffs`.
FillPayoffs = Callable[[Sequence[tuple[Any, ...]], Any], Any]
SolveMetaGame = Callable[[Any], ProductStrategy]


class PSROState(NamedTuple):
    """All that an iteration needs from those before it.

    Attributes:
      populations: one a player.
      payoffs: `[P, n_1, .., n_P]` float64, or an `acme_psro.meta_game.estimates.SampledPayoffs`.
      meta_strategy: the meta-solver's answer to them.
      iteration: iterations done.
      episodes: games played by the oracle so far.
      env_steps: decisions of learning players so far.
      gradient_steps: optimiser updates so far.
      responses: what the oracle returned in the last iteration, one a player; empty before the first.
    """

    populations: tuple[tuple[Any, ...], ...]
    payoffs: Any
    meta_strategy: ProductStrategy
    iteration: int
    episodes: int
    env_steps: int
    gradient_steps: int
    responses: tuple[Response, ...]


def initialise(
    policies: Sequence[Any], *, payoffs: FillPayoffs, solve: SolveMetaGame, known: Any = None
) -> PSROState:
    """The state before the first iteration: one policy a player.

    Args:
      known: payoffs of populations without policies; an array of them by default.
    """
    populations = tuple((policy,) for policy in policies)
    filled = payoffs(populations, empty_payoffs(len(policies)) if known is None else known)
    return PSROState(populations, filled, solve(filled), 0, 0, 0, 0, ())


def tasks_of(state: PSROState) -> list[BestResponseTask]:
    """What the oracle is asked in the next iteration: a best response for every player."""
    return [
        BestResponseTask(player, state.populations, state.meta_strategy, state.payoffs)
        for player in range(len(state.populations))
    ]


def step(
    state: PSROState,
    key: np.ndarray,
    *,
    oracle: Oracle,
    payoffs: FillPayoffs,
    solve: SolveMetaGame,
) -> PSROState:
    """One iteration.

    Args:
      key: `[2]` uint32, used up.
    """
    responses = tuple(oracle(key, tasks_of(state)))
    populations = tuple(
        population if response.policy is None else (*population, response.policy)
        for population, response in zip(state.populations, responses, strict=True)
    )
    filled = payoffs(populations, state.payoffs)
    return PSROState(
        populations=populations,
        payoffs=filled,
        meta_strategy=solve(filled),
        iteration=state.iteration + 1,
        episodes=state.episodes + sum(response.episodes for response in responses),
        env_steps=state.env_steps + sum(response.env_steps for response in responses),
        gradient_steps=state.gradient_steps + sum(r.gradient_steps for r in responses),
        responses=responses,
    )


def iteration_key(seed: int, iteration: int) -> np.ndarray:
    """`[2]` uint32: the key of one iteration, a function of nothing else, so that a run can be resumed."""
    return np.random.SeedSequence([seed, iteration]).generate_state(2, np.uint32)


def run(
    state: PSROState,
    seed: int,
    iterations: int,
    *,
    oracle: Oracle,
    payoffs: FillPayoffs,
    solve: SolveMetaGame,
    converged: Callable[[PSROState], bool],
) -> Iterator[PSROState]:
    """Goes on from a state until `iterations` are done in all, yielding the state after each.

    Stops early once `converged` says that no player can gain; it is asked before every iteration.
    """
    while state.iteration < iterations and not converged(state):
        key = iteration_key(seed, state.iteration)
        state = step(state, key, oracle=oracle, payoffs=payoffs, solve=solve)
        yield state
