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
# (a player's population, a response) -> True if the population has the response already.
Holds = Callable[[tuple[PolicyT, ...], PolicyT], bool]


def holds_nothing(population: tuple[PolicyT, ...], response: PolicyT) -> bool:
    """Returns False: every response counts as new."""
    del population, response
    return False


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
    holds: Holds[PolicyT] = holds_nothing,
) -> PSROState[PolicyT, PayoffsT]:
    """Returns the state after one more iteration.

    Args:
      state: stays as it is.
      key: `[2]` uint32, consumed.
      oracle: finds best responses.
      meta_game: knows payoffs.
      solve: the meta-solver.
      holds: returns True if a population has a response already; then it is not added again.
    """
    # All players respond to the same old meta-strategy, so that the order of players does not matter and an
    # oracle may train the responses in parallel (Lanctot et al. 2017, algorithm 1).
    responses = tuple(oracle(key, tasks_of(state)))
    # A policy is only ever appended: indices in old payoffs stay valid, and only new cells are computed.
    populations = tuple(
        population
        if response.policy is None or holds(population, response.policy)
        else (*population, response.policy)
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
    holds: Holds[PolicyT] = holds_nothing,
    is_repeatable: bool = False,
) -> Iterator[PSROState[PolicyT, PayoffsT]]:
    """Continues from a state until `iterations` are completed in total; yields the state after each.

    Stops early if `converged`, which is asked before every iteration, says that no player can gain. Stops too
    if the oracle is repeatable and adds no policy to any population, because it would find the same responses
    again in every further iteration; such an iteration does not count and its state is not yielded.

    Args:
      state: the state to continue from.
      seed: the seed of the run.
      iterations: the total number of iterations.
      oracle: finds best responses.
      meta_game: knows payoffs.
      solve: the meta-solver.
      converged: returns True if no player can gain.
      holds: returns True if a population has a response already; then it is not added again.
      is_repeatable: True if the oracle's responses depend on the tasks only, not on the key.
    """
    # Tested before the step, so that a resumed run that has already converged does no more work.
    while state.iteration < iterations and not converged(state):
        key = iteration_key(seed, state.iteration)
        following = step(state, key, oracle=oracle, meta_game=meta_game, solve=solve, holds=holds)
        if is_repeatable and _sizes(following) == _sizes(state):
            return
        state = following
        yield state


def _sizes(state: PSROState[PolicyT, PayoffsT]) -> list[int]:
    return [len(population) for population in state.populations]
