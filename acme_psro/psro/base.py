"""Types of the outer loop: its state, a question about populations, its answer, and the loop itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, NamedTuple

from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.meta_game.profiles import as_product, marginals_of
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Counts, Response
from acme_psro.policies.meta_strategy import JointStrategy, MetaStrategy, require_weights

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


def independent(state: PSROState[PolicyT, PayoffsT]) -> MetaStrategy:
    """Returns the state's meta-strategy, with marginals in place of a joint distribution."""
    if isinstance(state.meta_strategy, JointStrategy):
        return marginals_of(state.meta_strategy, [len(population) for population in state.populations])
    return state.meta_strategy


def require_independent(strategy: MetaStrategy, sizes: Sequence[int]) -> MetaStrategy:
    """Returns a meta-strategy over populations of these sizes if the players draw independently in it.

    Raises:
      ValueError: they do not, so that no policy of each player plays alike.
    """
    if not isinstance(strategy, JointStrategy):
        return strategy
    product = as_product(strategy, sizes)
    if product is None:
        raise ValueError(
            f"the players' policies are drawn together, by a joint distribution over "
            f"{len(strategy.probabilities)} profiles, and no policy of each player plays alike: use "
            "load_run's meta_strategy and member(player, index)."
        )
    return product


def complete_as_they_are(
    tasks: Sequence[BestResponseTask[PolicyT, PayoffsT]], responses: Sequence[Response[PolicyT]]
) -> tuple[Sequence[BestResponseTask[PolicyT, PayoffsT]], Sequence[Response[PolicyT]]]:
    """Returns tasks and responses as they are: every player has its own."""
    return tasks, responses


def know_no_payoffs(responses: Sequence[Response[PolicyT]]) -> None:
    """Returns None: responses do not bring payoffs along."""
    del responses


@dataclasses.dataclass(frozen=True)
class Loop(Generic[PolicyT, PayoffsT]):
    """A way in which best responses become a solution.

    Attributes:
      solve: solves populations. It depends on nothing but the question, so that a resumed run goes on as if
        it had never stopped.
      tasks: returns the oracle's tasks in the next iteration, one or more for each player.
      takes_others: True if further responses to the same task join the population beside the best one.
      population_size: the number of policies of each player, if populations do not grow: a response's
        `others` are the player's whole population then, and take the place of the one before. None if they
        grow.
      replaces: True if populations grow, but their policies may change as they do: a response's `others` are
        the player's whole population then, too.
      known_payoffs: returns the payoffs of populations of a fixed size, if their responses bring them along;
        None if they are to be computed.
      complete: returns tasks and responses with those of players who were not asked, because others answer
        for them, see `acme_psro.psro.symmetric`.
    """

    solve: Callable[[Question[PolicyT, PayoffsT]], Solution]
    tasks: Callable[[PSROState[PolicyT, PayoffsT]], list[BestResponseTask[PolicyT, PayoffsT]]] = tasks_of
    takes_others: bool = False
    population_size: int | None = None
    replaces: bool = False
    known_payoffs: Callable[[Sequence[Response[PolicyT]]], PayoffsT | None] = know_no_payoffs
    complete: Callable[
        [Sequence[BestResponseTask[PolicyT, PayoffsT]], Sequence[Response[PolicyT]]],
        tuple[Sequence[BestResponseTask[PolicyT, PayoffsT]], Sequence[Response[PolicyT]]],
    ] = complete_as_they_are
