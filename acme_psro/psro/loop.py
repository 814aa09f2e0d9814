"""Policy-space response oracles (Lanctot et al. 2017): the outer loop, and nothing but it.

One iteration: every player's best response to the others' meta-strategy joins its population, the payoffs are
extended, and the populations are solved for a new meta-strategy. Oracle, meta-game and the `Loop`, by which
PSRO and its relatives differ, are passed in; nothing here looks inside a policy or into payoffs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, NamedTuple

import numpy as np

from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Counts, Oracle, Response
from acme_psro.policies.meta_strategy import MetaStrategy, require_weights

# (a player's population, a response) -> True if the population has the response already.
Holds = Callable[[tuple[PolicyT, ...], PolicyT], bool]

_NO_FIGURES: Mapping[str, float] = MappingProxyType({})


def holds_nothing(population: tuple[PolicyT, ...], response: PolicyT) -> bool:
    """Returns False: every response counts as new."""
    del population, response
    return False


@dataclasses.dataclass(frozen=True, eq=False)
class Question(Generic[PolicyT, PayoffsT]):
    """Populations for a loop to solve, and all that is known of them.

    Attributes:
      populations: one a player.
      payoffs: payoffs of all profiles of the populations.
      responses: the responses that have just joined the populations; empty before the first iteration.
      before: the meta-strategy to which they respond; None before the first iteration.
      known: payoffs of the populations before; None before the first iteration.
    """

    populations: tuple[tuple[PolicyT, ...], ...]
    payoffs: PayoffsT
    responses: tuple[Response[PolicyT], ...] = ()
    before: MetaStrategy | None = None
    known: PayoffsT | None = None


class Solution(NamedTuple):
    """A loop's answer to a question.

    Attributes:
      meta_strategy: the players' play, which is evaluated and exported.
      figures: the loop's own columns of metrics, the same ones in every iteration.
    """

    meta_strategy: MetaStrategy
    figures: Mapping[str, float] = _NO_FIGURES


@dataclasses.dataclass(frozen=True, eq=False)
class PSROState(Generic[PolicyT, PayoffsT]):
    """Everything that an iteration needs from the iterations before it.

    Attributes:
      populations: one a player; a policy keeps its index for good.
      payoffs: payoffs of all profiles of the populations.
      meta_strategy: the loop's solution of the populations.
      iteration: the number of completed iterations.
      counts: work done by the oracle in all iterations.
      responses: the last iteration's responses, one a player, for metrics and reports; the next iteration
        does not read them. Empty before the first iteration.
      figures: the loop's own columns of metrics; the next iteration does not read them.
    """

    populations: tuple[tuple[PolicyT, ...], ...]
    payoffs: PayoffsT
    meta_strategy: MetaStrategy
    iteration: int = 0
    counts: Counts = NO_WORK
    responses: tuple[Response[PolicyT], ...] = ()
    figures: Mapping[str, float] = _NO_FIGURES


def tasks_of(state: PSROState[PolicyT, PayoffsT]) -> list[BestResponseTask[PolicyT, PayoffsT]]:
    """Returns a task for every player: a best response to the others' meta-strategy."""
    strategy = require_weights(state.meta_strategy)
    return [
        BestResponseTask(player, state.populations, strategy, state.payoffs)
        for player in range(len(state.populations))
    ]


def know_no_payoffs(responses: Sequence[Response[PolicyT]]) -> None:
    """Returns None: responses do not bring payoffs along."""
    del responses


@dataclasses.dataclass(frozen=True)
class Loop(Generic[PolicyT, PayoffsT]):
    """A way in which best responses become a solution.

    Attributes:
      solve: solves populations. It depends on nothing but the question, so that a resumed run goes on as if
        it had never stopped.
      tasks: returns the oracle's tasks in the next iteration, one a player.
      takes_others: True if further responses to the same task join the population beside the best one.
      population_size: the number of policies of each player, if populations do not grow: a response's
        `others` are the player's whole population then, and take the place of the one before. None if they
        grow.
      known_payoffs: returns the payoffs of populations of a fixed size, if their responses bring them along;
        None if they are to be computed.
    """

    solve: Callable[[Question[PolicyT, PayoffsT]], Solution]
    tasks: Callable[[PSROState[PolicyT, PayoffsT]], list[BestResponseTask[PolicyT, PayoffsT]]] = tasks_of
    takes_others: bool = False
    population_size: int | None = None
    known_payoffs: Callable[[Sequence[Response[PolicyT]]], PayoffsT | None] = know_no_payoffs


def initialise(
    meta_game: MetaGame[PolicyT, PayoffsT], loop: Loop[PolicyT, PayoffsT]
) -> PSROState[PolicyT, PayoffsT]:
    """Returns the state before the first iteration: one policy a player, which fills its population."""
    populations = tuple((policy,) * (loop.population_size or 1) for policy in meta_game.first())
    payoffs = meta_game.extend(populations, None)
    solution = loop.solve(Question(populations, payoffs))
    return PSROState(populations, payoffs, solution.meta_strategy, figures=solution.figures)


def step(
    state: PSROState[PolicyT, PayoffsT],
    key: np.ndarray,
    *,
    oracle: Oracle[PolicyT, PayoffsT],
    meta_game: MetaGame[PolicyT, PayoffsT],
    loop: Loop[PolicyT, PayoffsT],
    holds: Holds[PolicyT] = holds_nothing,
) -> PSROState[PolicyT, PayoffsT]:
    """Returns the state after one more iteration.

    Args:
      state: stays as it is.
      key: `[2]` uint32, consumed.
      oracle: finds best responses.
      meta_game: knows payoffs.
      loop: solves the populations and sets the oracle's tasks.
      holds: returns True if a population has a response already; then it is not added again.
    """
    # All players respond to the same old meta-strategy, so that the order of players does not matter and an
    # oracle may train the responses in parallel (Lanctot et al. 2017, algorithm 1).
    responses = tuple(oracle(key, loop.tasks(state)))
    if loop.population_size is None:
        # A policy is only ever appended: indices in old payoffs stay valid, and only new cells are computed.
        populations = tuple(
            _grow(population, response, loop.takes_others, holds)
            for population, response in zip(state.populations, responses, strict=True)
        )
        payoffs = meta_game.extend(populations, state.payoffs)
    else:
        populations = tuple(response.others for response in responses)
        known = loop.known_payoffs(responses)
        payoffs = meta_game.extend(populations, None) if known is None else known
    solution = loop.solve(Question(populations, payoffs, responses, state.meta_strategy, state.payoffs))
    return PSROState(
        populations=populations,
        payoffs=payoffs,
        meta_strategy=solution.meta_strategy,
        iteration=state.iteration + 1,
        counts=sum((response.counts for response in responses), start=state.counts),
        responses=responses,
        figures=solution.figures,
    )


def _grow(
    population: tuple[PolicyT, ...], response: Response[PolicyT], takes_others: bool, holds: Holds[PolicyT]
) -> tuple[PolicyT, ...]:
    """Returns the population with those policies of a response that it does not hold yet."""
    found = (response.policy, *(response.others if takes_others else ()))
    for policy in found:
        if policy is not None and not holds(population, policy):
            population = (*population, policy)
    return population


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
    loop: Loop[PolicyT, PayoffsT],
    converged: Callable[[PSROState[PolicyT, PayoffsT]], bool],
    holds: Holds[PolicyT] = holds_nothing,
    is_repeatable: bool = False,
) -> Iterator[PSROState[PolicyT, PayoffsT]]:
    """Continues from a state until `iterations` are completed in total; yields the state after each.

    Stops early if `converged`, which is asked before every iteration, says that no player can gain. Stops too
    if the oracle is repeatable and adds no policy to any population, or changes none if populations do not
    grow, because it would find the same responses again in every further iteration; such an iteration does
    not count and its state is not yielded.

    Args:
      state: the state to continue from.
      seed: the seed of the run.
      iterations: the total number of iterations.
      oracle: finds best responses.
      meta_game: knows payoffs.
      loop: solves the populations and sets the oracle's tasks.
      converged: returns True if no player can gain.
      holds: returns True if a population has a response already; then it is not added again.
      is_repeatable: True if the oracle's responses depend on the tasks only, not on the key.
    """
    # Tested before the step, so that a resumed run that has already converged does no more work.
    while state.iteration < iterations and not converged(state):
        key = iteration_key(seed, state.iteration)
        following = step(state, key, oracle=oracle, meta_game=meta_game, loop=loop, holds=holds)
        if is_repeatable and not _has_changed(state, following, loop, holds):
            return
        state = following
        yield state


def _has_changed(
    before: PSROState[PolicyT, PayoffsT],
    after: PSROState[PolicyT, PayoffsT],
    loop: Loop[PolicyT, PayoffsT],
    holds: Holds[PolicyT],
) -> bool:
    """Returns True if an iteration has changed the populations."""
    if loop.population_size is None:
        return [len(own) for own in before.populations] != [len(own) for own in after.populations]
    # Equal payoffs are not enough: members that changed without any effect on them have other responses.
    return not all(
        holds((old,), new)
        for olds, news in zip(before.populations, after.populations, strict=True)
        for old, new in zip(olds, news, strict=True)
    )
