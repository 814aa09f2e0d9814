"""Policy-space response oracles (Lanctot et al. 2017): the outer loop, and nothing but it.

One iteration: every player's best response to the others' meta-strategy joins its population, the payoffs are
extended, and the populations are solved for a new meta-strategy. Oracle, meta-game and the `Loop`, by which
PSRO and its relatives differ, are passed in; nothing here looks inside a policy or into payoffs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from acme_psro.meta_game.base import MetaGame, PayoffsT, PolicyT
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.psro.base import Holds as Holds
from acme_psro.psro.base import Loop as Loop
from acme_psro.psro.base import PSROState as PSROState
from acme_psro.psro.base import Question as Question
from acme_psro.psro.base import Solution as Solution
from acme_psro.psro.base import holds_nothing as holds_nothing
from acme_psro.psro.base import independent as independent
from acme_psro.psro.base import require_independent as require_independent
from acme_psro.psro.base import tasks_of as tasks_of
from acme_psro.psro.rounds import find_responses, responses_by_player, summarise


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
    tasks = loop.tasks(state)
    responses = find_responses(oracle, key, tasks)
    return advance(state, tasks, responses, meta_game=meta_game, loop=loop, holds=holds)


def advance(
    state: PSROState[PolicyT, PayoffsT],
    tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]],
    responses: Sequence[Response[PolicyT]],
    *,
    meta_game: MetaGame[PolicyT, PayoffsT],
    loop: Loop[PolicyT, PayoffsT],
    holds: Holds[PolicyT] = holds_nothing,
) -> PSROState[PolicyT, PayoffsT]:
    """Returns the state after an iteration whose responses have been found.

    Args:
      state: stays as it is.
      tasks: the loop's tasks in this state.
      responses: one a task.
      meta_game: knows payoffs.
      loop: solves the populations.
      holds: returns True if a population has a response already; then it is not added again.
    """
    tasks, responses = loop.complete(tasks, responses)
    if loop.population_size is None and not loop.replaces:
        # A policy is only ever appended: indices in old payoffs stay valid, and only new cells are computed.
        by_player = responses_by_player(tasks, responses, len(state.populations))
        populations = tuple(
            _grow(population, own, loop.takes_others, holds)
            for population, own in zip(state.populations, by_player, strict=True)
        )
        payoffs = meta_game.extend(populations, state.payoffs)
    else:
        populations = tuple(response.others for response in responses)
        known = loop.known_payoffs(responses)
        if known is None:
            stays = loop.replaces and _stay(state.populations, populations, holds)
            known = meta_game.extend(populations, state.payoffs if stays else None)
        payoffs = known
    summaries = summarise(tasks, responses, len(state.populations))
    solution = loop.solve(Question(populations, payoffs, summaries, state.meta_strategy, state.payoffs))
    return PSROState(
        populations=populations,
        payoffs=payoffs,
        meta_strategy=solution.meta_strategy,
        iteration=state.iteration + 1,
        counts=sum((response.counts for response in responses), start=state.counts),
        responses=summaries,
        figures=solution.figures,
    )


def _grow(
    population: tuple[PolicyT, ...],
    responses: Sequence[Response[PolicyT]],
    takes_others: bool,
    holds: Holds[PolicyT],
) -> tuple[PolicyT, ...]:
    """Returns the population with those policies of its player's responses that it does not hold yet."""
    for response in responses:
        for policy in (response.policy, *(response.others if takes_others else ())):
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
        tasks = loop.tasks(state)
        responses = find_responses(oracle, iteration_key(seed, state.iteration), tasks)
        following = advance(state, tasks, responses, meta_game=meta_game, loop=loop, holds=holds)
        if is_repeatable and not has_changed(state, following, loop, holds):
            return
        state = following
        yield state


def has_changed(
    before: PSROState[PolicyT, PayoffsT],
    after: PSROState[PolicyT, PayoffsT],
    loop: Loop[PolicyT, PayoffsT],
    holds: Holds[PolicyT],
) -> bool:
    """Returns True if an iteration has changed the populations."""
    if [len(own) for own in before.populations] != [len(own) for own in after.populations]:
        return True
    if loop.population_size is None and not loop.replaces:
        return False
    # Equal payoffs are not enough: members that changed without any effect on them have other responses.
    return not _stay(before.populations, after.populations, holds)


def _stay(
    before: Sequence[tuple[PolicyT, ...]], after: Sequence[tuple[PolicyT, ...]], holds: Holds[PolicyT]
) -> bool:
    """Returns True if all policies of populations are what they were, whatever was added to them."""
    return all(
        holds((old,), new)
        for olds, news in zip(before, after, strict=True)
        for old, new in zip(olds, news[: len(olds)], strict=True)
    )
