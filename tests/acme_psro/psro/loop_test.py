"""The outer loop: orchestration with fakes, and exact PSRO on games with known answers."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro import solvers
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.oracles.base import BestResponseTask, Counts, Response
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Policy, mixture_table
from acme_psro.psro import loop, meta_solving


def policy(number: int) -> Policy:
    """A policy that can be recognised; nothing in the loop looks inside."""
    return Policy(np.full((1, 1), float(number)), np.ones(2))


def number_of(policy: Policy) -> int:
    return int(policy.table[0, 0])


class FakeMetaGame:
    """Payoffs that tell which populations were evaluated and how much was known before."""

    def first(self) -> tuple[Policy, ...]:
        return (policy(0), policy(1), policy(2))

    def extend(self, populations: Sequence[tuple[Policy, ...]], known: np.ndarray | None) -> np.ndarray:
        filled = np.zeros((len(populations), *(len(population) for population in populations)))
        if known is not None:
            filled[(slice(None), *(slice(size) for size in known.shape[1:]))] = known + 1
        return filled

    def tensor(self, payoffs: np.ndarray) -> np.ndarray:
        return payoffs


def last(tensor: np.ndarray) -> ProductStrategy:
    """A meta-solver that plays the newest policies."""
    return ProductStrategy(tuple(np.eye(size)[-1] for size in tensor.shape[1:]))


LAST = meta_solving.make_loop(FakeMetaGame(), last)


class FakeOracle:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, answers: Sequence[Sequence[Response]]) -> None:
        self.answers = list(answers)
        self.keys: list[np.ndarray] = []
        self.tasks: list[list[BestResponseTask]] = []

    def __call__(self, key: np.ndarray, tasks: Sequence[BestResponseTask]) -> Sequence[Response]:
        self.keys.append(np.array(key))
        self.tasks.append(list(tasks))
        return self.answers[len(self.keys) - 1]


def never(state: loop.PSROState) -> bool:
    """For `converged`."""
    del state
    return False


ANSWERS = [
    [
        Response(policy(10), 1.0, 1.5, Counts(7, 20, 3)),
        Response(None, 0.0, 0.5, Counts(5, 10, 2)),
        Response(policy(30), 1.0, 1.0),
    ],
    [
        Response(None, 0.0, 0.0, Counts(1, 1, 1)),
        Response(policy(21), 0.1, 0.2, Counts(100, 200, 300)),
        Response(None, 0.0, 0.0),
    ],
]


@pytest.fixture
def beginning() -> loop.PSROState:
    return loop.initialise(FakeMetaGame(), LAST)


@pytest.fixture
def run_loop() -> Callable[..., list[loop.PSROState]]:
    def run(state: loop.PSROState, oracle: Any, iterations: int = 2, seed: int = 0) -> list[loop.PSROState]:
        return list(
            loop.run(
                state, seed, iterations, oracle=oracle, meta_game=FakeMetaGame(), loop=LAST, converged=never
            )
        )

    return run


def test_begins_with_one_policy_a_player(beginning: loop.PSROState) -> None:
    assert [[number_of(p) for p in population] for population in beginning.populations] == [[0], [1], [2]]
    assert beginning.payoffs.shape == (3, 1, 1, 1)
    assert [list(marginal) for marginal in beginning.meta_strategy.marginals] == [[1.0]] * 3
    assert (beginning.iteration, beginning.counts) == (0, Counts(0, 0, 0))
    assert beginning.responses == ()


def test_populations_grow_only_where_a_policy_came_back(
    beginning: loop.PSROState, run_loop: Callable
) -> None:
    first, second = run_loop(beginning, FakeOracle(ANSWERS))
    assert [[number_of(p) for p in own] for own in first.populations] == [[0, 10], [1], [2, 30]]
    assert [[number_of(p) for p in own] for own in second.populations] == [[0, 10], [1, 21], [2, 30]]


def test_every_player_responds_to_the_meta_strategy_before(
    beginning: loop.PSROState, run_loop: Callable
) -> None:
    oracle = FakeOracle(ANSWERS)
    first, _ = run_loop(beginning, oracle)
    for asked, before in zip(oracle.tasks, [beginning, first], strict=True):
        assert [task.player for task in asked] == [0, 1, 2]
        assert all(task.populations is before.populations for task in asked)
        assert all(task.meta_strategy is before.meta_strategy for task in asked)


def test_totals_add_up(beginning: loop.PSROState, run_loop: Callable) -> None:
    states = run_loop(beginning, FakeOracle(ANSWERS))
    totals = [(state.iteration, state.counts) for state in states]
    assert totals == [(1, Counts(12, 30, 5)), (2, Counts(113, 231, 306))]


def test_responses_are_kept_also_where_no_policy_came_back(
    beginning: loop.PSROState, run_loop: Callable
) -> None:
    states = run_loop(beginning, FakeOracle(ANSWERS))
    assert [state.responses for state in states] == [tuple(answers) for answers in ANSWERS]


def test_payoffs_are_given_what_is_known(beginning: loop.PSROState, run_loop: Callable) -> None:
    first, second = run_loop(beginning, FakeOracle(ANSWERS))
    assert first.payoffs.shape == (3, 2, 1, 2)
    assert second.payoffs.shape == (3, 2, 2, 2)
    assert second.payoffs[0, 0, 0, 0] == 2.0
    assert second.payoffs[0, 1, 0, 1] == 1.0
    assert second.payoffs[0, 1, 1, 1] == 0.0
    assert [list(marginal) for marginal in second.meta_strategy.marginals] == [[0.0, 1.0]] * 3


def test_states_before_are_left_alone(beginning: loop.PSROState, run_loop: Callable) -> None:
    known = beginning.payoffs.copy()
    run_loop(beginning, FakeOracle(ANSWERS))
    assert [len(population) for population in beginning.populations] == [1, 1, 1]
    np.testing.assert_array_equal(beginning.payoffs, known)


def test_a_run_taken_up_again_goes_on_with_the_same_keys(
    beginning: loop.PSROState, run_loop: Callable
) -> None:
    whole, continued = FakeOracle(ANSWERS), FakeOracle(ANSWERS[1:])
    first, uninterrupted = run_loop(beginning, whole, seed=3)
    (taken_up,) = run_loop(first, continued, seed=3)
    np.testing.assert_array_equal(whole.keys[1], continued.keys[0])
    np.testing.assert_array_equal(taken_up.payoffs, uninterrupted.payoffs)
    assert (taken_up.iteration, taken_up.counts) == (uninterrupted.iteration, uninterrupted.counts)


def test_nothing_is_done_beyond_the_iterations(beginning: loop.PSROState, run_loop: Callable) -> None:
    oracle = FakeOracle(ANSWERS)
    (state,) = run_loop(beginning, oracle, iterations=1)
    assert run_loop(state, oracle, iterations=1) == []
    assert run_loop(beginning, oracle, iterations=0) == []
    assert len(oracle.keys) == 1


def test_stops_where_converged_says_so(beginning: loop.PSROState) -> None:
    oracle, asked = FakeOracle(ANSWERS), []

    def converged(state: loop.PSROState) -> bool:
        asked.append(state.iteration)
        return state.iteration == 1

    options = {"oracle": oracle, "meta_game": FakeMetaGame(), "loop": LAST, "converged": converged}
    states = list(loop.run(beginning, 0, 2, **options))
    assert [state.iteration for state in states] == [1]
    assert asked == [0, 1]
    assert len(oracle.keys) == 1


def test_run_is_lazy(beginning: loop.PSROState) -> None:
    """The state of an iteration can be stored before the next begins."""
    oracle = FakeOracle(ANSWERS)
    states = loop.run(beginning, 0, 2, oracle=oracle, meta_game=FakeMetaGame(), loop=LAST, converged=never)
    assert oracle.keys == []
    next(states)
    assert len(oracle.keys) == 1


def test_iteration_keys_are_distinct() -> None:
    keys = {tuple(loop.iteration_key(seed, i)) for seed in range(30) for i in range(100)}
    assert len(keys) == 3000


def test_iteration_keys_are_raw_bits() -> None:
    key = loop.iteration_key(0, 0)
    assert key.shape == (2,)
    assert key.dtype == np.uint32


def test_iteration_keys_stay_the_same_between_versions() -> None:
    """A run begun with one release is resumed with the next."""
    np.testing.assert_array_equal(loop.iteration_key(7, 3), loop.iteration_key(7, 3))
    np.testing.assert_array_equal(loop.iteration_key(0, 0), [2_968_811_710, 3_677_149_159])
    np.testing.assert_array_equal(loop.iteration_key(7, 3), [3_466_196_061, 1_178_487_100])


# Exact PSRO.


def exact_run(case: Any, solver: str, iterations: int) -> list[loop.PSROState]:
    tree = case.tree
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, solvers.get_solver(solver))
    options = {"meta_game": meta_game, "loop": psro}
    state = loop.initialise(meta_game, psro)
    oracle = exact.make_oracle(tree)

    def converged(state: loop.PSROState) -> bool:
        result = evaluate_mixture(tree, state.populations, state.meta_strategy)
        return bool(result.per_player_gain.max() <= 1e-9)

    return [state, *loop.run(state, 0, iterations, oracle=oracle, converged=converged, **options)]


def nash_conv_of(case: Any, state: loop.PSROState) -> float:
    return evaluate_mixture(case.tree, state.populations, state.meta_strategy).nash_conv


@pytest.mark.games("kuhn", "rock_paper_scissors", "coordinated_pennies", "goofspiel")
def test_exact_psro_solves_small_games_and_stops(case: Any) -> None:
    states = exact_run(case, "nash", 200)
    assert nash_conv_of(case, states[-1]) < 1e-7
    assert len(states) < 200
    assert all(nash_conv_of(case, state) > 1e-9 for state in states[:-1])


@pytest.mark.games("kuhn")
def test_exact_psro_finds_the_value_of_kuhn_poker(case: Any) -> None:
    state = exact_run(case, "nash", 50)[-1]
    result = evaluate_mixture(case.tree, state.populations, state.meta_strategy)
    np.testing.assert_allclose(result.expected_returns, [-1 / 18, 1 / 18], atol=1e-9)


@pytest.mark.games("leduc")
def test_exact_psro_on_leduc_poker_falls(case: Any) -> None:
    """Not at every iteration: a fifth of the uniform policy's after forty."""
    states = exact_run(case, "nash", 40)
    assert nash_conv_of(case, states[0]) == pytest.approx(4.747222222222222)
    assert min(nash_conv_of(case, state) for state in states[-5:]) < 0.95
    assert states[-1].iteration == 40


@pytest.mark.games("kuhn_3p", "prisoners_dilemma", "auction")
@pytest.mark.parametrize("solver", ["regret_matching", "prd", "uniform"])
def test_runs_on_any_number_of_players_and_sums(case: Any, solver: str) -> None:
    states = exact_run(case, solver, 6)
    for before, after in itertools.pairwise(states):
        sizes = [len(population) for population in after.populations]
        assert after.payoffs.shape == (case.tree.num_players, *sizes)
        assert np.isfinite(after.payoffs).all()
        for old, new in zip(before.populations, after.populations, strict=True):
            assert all(kept is one for kept, one in zip(old, new, strict=False))
        for size, marginal in zip(sizes, after.meta_strategy.marginals, strict=True):
            assert marginal.shape == (size,)
            assert marginal.sum() == pytest.approx(1.0)
    assert nash_conv_of(case, states[-1]) < nash_conv_of(case, states[0])


@pytest.mark.games("pennies_3p")
def test_begun_in_equilibrium_nothing_is_done(case: Any) -> None:
    """Uniform play is one for three players' matching pennies."""
    states = exact_run(case, "regret_matching", 6)
    assert len(states) == 1
    assert nash_conv_of(case, states[0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.games("prisoners_dilemma")
def test_defection_is_found_and_kept(case: Any) -> None:
    state = exact_run(case, "prd", 5)[-1]
    table = mixture_table(case.tree, state.populations, state.meta_strategy)
    assert (table[:, 1] > 0.98).all()


@pytest.mark.games("kuhn", "kuhn_3p")
def test_two_runs_are_alike(case: Any) -> None:
    one, two = (exact_run(case, "regret_matching", 4) for _ in range(2))
    for mine, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(mine.payoffs, theirs.payoffs)


# Policies that a population has already.


def holds_number(population: tuple[Policy, ...], response: Policy) -> bool:
    return number_of(response) in map(number_of, population)


def test_what_a_population_holds_is_not_added_again(beginning: loop.PSROState) -> None:
    """Every player has its own population: the policy is new to player 1, though player 0 has it."""
    answers = [[Response(policy(number), 1.0, 1.0, Counts(1, 2, 3)) for number in (0, 0, 5)]]
    (state,) = loop.run(
        beginning,
        0,
        1,
        oracle=FakeOracle(answers),
        meta_game=FakeMetaGame(),
        loop=LAST,
        converged=never,
        holds=holds_number,
    )
    assert [[number_of(p) for p in own] for own in state.populations] == [[0], [1, 0], [2, 5]]
    assert (state.responses, state.counts) == (tuple(answers[0]), Counts(3, 6, 9))


@pytest.mark.parametrize(("takes_others", "sizes"), [(False, [2, 1, 1]), (True, [3, 2, 1])])
def test_a_loop_may_take_all_policies_that_were_found_for_a_task(
    beginning: loop.PSROState, takes_others: bool, sizes: list[int]
) -> None:
    """Player 0 has policy 0 already; player 1's best policy was dropped, but another gains."""
    answers = [
        Response(policy(10), 1.0, 1.0, others=(policy(11), policy(0))),
        Response(None, 0.0, 1.0, others=(policy(12),)),
        Response(None, 0.0, 0.0),
    ]
    taking = dataclasses.replace(LAST, takes_others=takes_others)
    parts = {"oracle": FakeOracle([answers]), "meta_game": FakeMetaGame(), "loop": taking}
    (state,) = loop.run(beginning, 0, 1, converged=never, holds=holds_number, **parts)
    assert [len(own) for own in state.populations] == sizes


def test_a_loop_is_asked_about_the_new_populations_and_sets_the_tasks(beginning: loop.PSROState) -> None:
    asked: list[loop.Question] = []

    def solve(question: loop.Question) -> loop.Solution:
        asked.append(question)
        return loop.Solution(last(question.payoffs), {"size": float(len(question.populations[0]))})

    def last_player_first(state: loop.PSROState) -> list[BestResponseTask]:
        return loop.tasks_of(state)[::-1]

    oracle = FakeOracle([ANSWERS[0][::-1]])
    own = loop.Loop(solve, last_player_first)
    (state,) = loop.run(beginning, 0, 1, oracle=oracle, meta_game=FakeMetaGame(), loop=own, converged=never)
    (question,) = asked
    assert question.populations is state.populations
    assert question.responses == state.responses == tuple(ANSWERS[0])
    assert question.before is beginning.meta_strategy
    assert state.figures == {"size": 2.0}
    assert [task.player for task in oracle.tasks[0]] == [2, 1, 0]


@pytest.mark.parametrize(("is_repeatable", "iterations"), [(True, 1), (False, 3)])
def test_ends_without_new_policies_only_if_the_oracle_would_find_the_same_again(
    beginning: loop.PSROState, is_repeatable: bool, iterations: int
) -> None:
    answers = [[Response(policy(7), 1.0, 1.0)] * 3] * 3
    states = list(
        loop.run(
            beginning,
            0,
            3,
            oracle=FakeOracle(answers),
            meta_game=FakeMetaGame(),
            loop=LAST,
            converged=never,
            holds=holds_number,
            is_repeatable=is_repeatable,
        )
    )
    assert [state.iteration for state in states] == list(range(1, iterations + 1))
    assert [len(population) for population in states[-1].populations] == [2, 2, 2]


@pytest.mark.parametrize("brought", [None, np.full((3, 2, 2, 2), 7.0)])
def test_whole_populations_bring_their_payoffs_along_or_have_them_computed(brought: Any) -> None:
    members = [Response(None, 0.0, 0.0, others=(policy(n), policy(n + 1)), payoffs=brought) for n in range(3)]
    fixed = dataclasses.replace(LAST, population_size=2, known_payoffs=lambda responses: responses[0].payoffs)
    start = loop.initialise(FakeMetaGame(), fixed)
    after = loop.step(
        start, loop.iteration_key(0, 0), oracle=FakeOracle([members]), meta_game=FakeMetaGame(), loop=fixed
    )
    assert [[number_of(each) for each in own] for own in after.populations] == [[0, 1], [1, 2], [2, 3]]
    np.testing.assert_array_equal(after.payoffs, np.zeros((3, 2, 2, 2)) if brought is None else brought)


def holds_same(population: tuple[Policy, ...], response: Policy) -> bool:
    return any((one.table == response.table).all() for one in population)


def test_members_that_change_without_changing_payoffs_are_not_done() -> None:
    """Payoffs of the fake never change. The populations do, until the third iteration."""
    fixed = dataclasses.replace(LAST, population_size=2)
    state = loop.initialise(FakeMetaGame(), fixed)
    members = [(policy(first), policy(first + 1)) for first in (10, 20, 20)]
    answers = [[Response(None, 0.0, 0.0, others=own)] * 3 for own in members]
    found = loop.run(
        state,
        0,
        9,
        oracle=FakeOracle(answers),
        meta_game=FakeMetaGame(),
        loop=fixed,
        converged=never,
        holds=holds_same,
        is_repeatable=True,
    )
    assert [each.iteration for each in found] == [1, 2]
