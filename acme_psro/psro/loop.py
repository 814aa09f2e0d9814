"""Policy-space response oracles (Lanctot et al. 2017): the outer loop, and nothing but it.

One iteration: every player's best response to the others' meta-strategy joins its population, the payoffs are
extended, and the meta-solver returns a new meta-strategy. Oracle, meta-game and solver are passed in; the
loop never looks inside a policy or into payoffs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Generic

import numpy as np

from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Counts, Oracle, Response
from acme_psro.policies.meta_strategy import MetaStrategy

# Payoff tensor `[P, n_1, .., n_P]` -> meta-strategy.
SolveMetaGame = Callable[[np.ndarray], MetaStrategy]


@dataclasses.dataclass(frozen=True, eq=False)
class PSROState(Generic[PolicyT, PayoffsT]):
    """Everything that an iteration needs from the iterations before it.

    Attributes:
      populations: one a player; a policy keeps its index for good.
      payoffs: payoffs of all profiles of the populations.
      meta_strategy: the meta-solver's answer to the payoffs.
      iteration: the number of completed iterations.
      counts: work done by the oracle in all iterations.
      responses: the last iteration's responses, one a player, for metrics and reports; the loop itself does
        not read them. Empty before the first iteration.
    """

    populations: tuple[tuple[PolicyT, ...], ...]
    payoffs: PayoffsT
    meta_strategy: MetaStrategy
    iteration: int = 0
    counts: Counts = NO_WORK
    responses: tuple[Response[PolicyT], ...] = ()


def initialise(meta_game: MetaGame[PolicyT, PayoffsT], solve: SolveMetaGame) -> PSROState[PolicyT, PayoffsT]:
    """Returns the state before the first iteration: one policy a player."""
    populations = tuple((policy,) for policy in meta_game.first())
    payoffs = meta_game.extend(populations, None)
    return PSROState(populations, payoffs, solve(meta_game.tensor(payoffs)))


def tasks_of(state: PSROState[PolicyT, PayoffsT]) -> list[BestResponseTask[PolicyT, PayoffsT]]:
    """Returns the oracle's tasks in the next iteration: a best response for every player."""
    return [
        BestResponseTask(player, state.populations, state.meta_strategy, state.payoffs)
        for player in range(len(state.populations))
    ]


def step(
    state: PSROState[PolicyT, PayoffsT],
    key: np.ndarray,
    *,
    oracle: Oracle[PolicyT, PayoffsT],
    meta_game: MetaGame[PolicyT, PayoffsT],
    solve: SolveMetaGame,
) -> PSROState[PolicyT, PayoffsT]:
    """Returns the state after one more iteration.

    Args:
      state: stays as it is.
      key: `[2]` uint32, consumed.
      oracle: finds best responses.
      meta_game: knows payoffs.
      solve: the meta-solver.
    """
    responses = tuple(oracle(key, tasks_of(state)))
    populations = tuple(
        population if response.policy is None else (*population, response.policy)
        for population, response in zip(state.populations, responses, strict=True)
    )
    payoffs = meta_game.extend(populations, state.payoffs)
    return PSROState(
        populations=populations,
        payoffs=payoffs,
        meta_strategy=solve(meta_game.tensor(payoffs)),
        iteration=state.iteration + 1,
        counts=sum((response.counts for response in responses), start=state.counts),
        responses=responses,
    )


def iteration_key(seed: int, iteration: int) -> np.ndarray:
    """Returns `[2]` uint32: an iteration's key, a function of nothing else, so that a run can be resumed."""
    return np.random.SeedSequence([seed, iteration]).generate_state(2, np.uint32)


def run(
    state: PSROState[PolicyT, PayoffsT],
    seed: int,
    iterations: int,
    *,
    oracle: Oracle[PolicyT, PayoffsT],
    meta_game: MetaGame[PolicyT, PayoffsT],
    solve: SolveMetaGame,
    converged: Callable[[PSROState[PolicyT, PayoffsT]], bool],
) -> Iterator[PSROState[PolicyT, PayoffsT]]:
    """Continues from a state until `iterations` are completed in total; yields the state after each.

    Stops early if `converged`, which is asked before every iteration, says that no player can gain.
    """
    while state.iteration < iterations and not converged(state):
        key = iteration_key(seed, state.iteration)
        state = step(state, key, oracle=oracle, meta_game=meta_game, solve=solve)
        yield state
