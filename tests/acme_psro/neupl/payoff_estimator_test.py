"""Tests of learned payoffs, against exact ones."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import simulation
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.payoff_estimator import (
    Estimator,
    EstimatorConfig,
    EstimatorState,
    Outcomes,
    from_arrays,
    make_estimator,
    to_arrays,
)
from acme_psro.policies import decoders
from acme_psro.policies.tabular import Population, make_policy

# Four members of each player; the rows of members 2 and 3 are the same for player 0.
GRAPH = np.array(
    [
        [[0, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]],
        [[0, 0, 0, 0], [1, 0, 0, 0], [0.2, 0.8, 0, 0], [0, 0.5, 0.5, 0]],
    ],
    np.float32,
)
GAMES = 1500


def make_populations(
    tree: GameTree, table_of: Callable[[GameTree, int], np.ndarray]
) -> tuple[Population, ...]:
    """Returns uniform and pure members; player 0's members 2 and 3 are the same."""

    def member(player: int, seed: int) -> np.ndarray:
        whole = table_of(tree, seed) if seed else tree.uniform_policy()
        return whole[tree.infosets_of(player)]

    seeds = ((0, 1, 2, 2), (0, 4, 5, 6))
    return tuple(
        tuple(make_policy(tree, player, member(player, seed)) for seed in own)
        for player, own in enumerate(seeds)
    )


def play_all(tree: GameTree, populations: tuple[Population, ...]) -> Outcomes:
    """Returns the outcomes of as many games of each pair."""
    rng = np.random.default_rng(0)
    policies = [
        [decoders.decode_table(decoders.from_tree_policy(tree, player, policy)) for policy in own]
        for player, own in enumerate(populations)
    ]
    first, second, outcome = [], [], []
    for one in range(4):
        for other in range(4):
            pair = [policies[0][one], policies[1][other]]
            outcome.append(
                simulation.play(load_game("kuhn_poker"), pair, GAMES, rng)[:, 0] / tree.utility_scale
            )
            first.append(np.tile(GRAPH[0, one], (GAMES, 1)))
            second.append(np.tile(GRAPH[1, other], (GAMES, 1)))
    return Outcomes(*(jnp.asarray(np.concatenate(each), jnp.float32) for each in (first, second, outcome)))


def fit(estimator: Estimator, outcomes: Outcomes, seed: int, calls: int) -> tuple[EstimatorState, float]:
    init_key, key = jax.random.split(jax.random.key(seed))
    state, run, error = estimator.init(init_key), jax.jit(estimator.fit), np.zeros(0)
    for each in jax.random.split(key, calls):
        state, error = run(each, state, outcomes, len(outcomes.outcome))
    return state, float(error.mean())


def random_outcomes(seed: int, num: int = 64) -> Outcomes:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(4, size=(2, num))
    outcome = rng.normal(size=num).astype(np.float32)
    return Outcomes(jnp.asarray(GRAPH[0, one]), jnp.asarray(GRAPH[1, other]), jnp.asarray(outcome))


def test_payoffs_of_kuhn_poker_converge_to_exact_ones(
    pure_table: Callable[[GameTree, int], np.ndarray],
) -> None:
    tree = compile_game("kuhn_poker", cache=False)
    populations = make_populations(tree, pure_table)
    exact = exact_payoffs(tree, populations)
    estimator = make_estimator(4, updates=500)
    state, _ = fit(estimator, play_all(tree, populations), seed=0, calls=4)
    found = np.asarray(estimator.predict(state, jnp.asarray(GRAPH))) * tree.utility_scale
    assert found.shape == (2, 4, 4)
    # The standard error of 1,500 games is 0.036 utility units; the largest of 16 errors is about twice that.
    assert np.abs(found - exact).max() < 0.12
    assert np.abs(found - exact).mean() < 0.05
    # Nothing like that holds before learning, when all payoffs are 0.
    assert np.abs(exact).max() > 0.5
    np.testing.assert_array_equal(found[0], -found[1])
    np.testing.assert_array_equal(found[:, 2], found[:, 3])


def test_nothing_is_known_before_learning() -> None:
    estimator = make_estimator(4)
    state = estimator.init(jax.random.key(1))
    np.testing.assert_array_equal(estimator.predict(state, jnp.asarray(GRAPH)), np.zeros((2, 4, 4)))


def test_payoffs_of_symmetric_games_are_antisymmetric() -> None:
    outcomes = random_outcomes(3)
    plain, symmetric = make_estimator(4), make_estimator(4, is_symmetric=True)
    state, _ = plain.update(plain.init(jax.random.key(0)), outcomes)
    graph = jnp.asarray(np.stack([GRAPH[1], GRAPH[1]]))
    whole, found = plain.predict(state, graph)[0], symmetric.predict(state, graph)
    assert np.abs(whole + whole.T).max() > 0
    np.testing.assert_array_equal(found[0], -found[0].T)
    np.testing.assert_allclose(found[0], (whole - whole.T) / 2, atol=1e-7)
    np.testing.assert_array_equal(found[1], -found[0])


def test_learning_depends_on_the_seed_alone() -> None:
    estimator, outcomes = make_estimator(4, updates=5), random_outcomes(0)
    one, again, other = (fit(estimator, outcomes, seed, calls=2)[0] for seed in (7, 7, 8))
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(left, right)
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_only_the_filled_part_of_a_store_is_learned_from() -> None:
    estimator, outcomes = make_estimator(4, updates=20), random_outcomes(0)
    broken = outcomes._replace(outcome=outcomes.outcome.at[10:].set(jnp.nan))
    start = estimator.init(jax.random.key(0))
    _, errors = estimator.fit(jax.random.key(1), start, broken, jnp.int32(10))
    assert errors.shape == (20,)
    assert np.isfinite(errors).all()


def test_one_step_of_fit_is_an_update() -> None:
    estimator, outcomes = make_estimator(4), random_outcomes(0, num=1)
    start = estimator.init(jax.random.key(0))
    fitted, errors = estimator.fit(jax.random.key(1), start, outcomes, jnp.int32(1))
    batch = jax.tree.map(lambda leaf: jnp.repeat(leaf, EstimatorConfig().batch_size, axis=0), outcomes)
    updated, error = estimator.update(start, batch)
    assert errors[0] == pytest.approx(float(error))
    for left, right in zip(jax.tree.leaves(fitted), jax.tree.leaves(updated), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_learning_goes_on_from_arrays_as_if_it_had_not_stopped() -> None:
    estimator, outcomes = make_estimator(4), random_outcomes(0)
    state, _ = estimator.update(estimator.init(jax.random.key(0)), outcomes)
    restored = from_arrays(estimator, {**to_arrays(state), "other": np.zeros(1)})
    for left, right in zip(
        jax.tree.leaves(estimator.update(state, outcomes)),
        jax.tree.leaves(estimator.update(restored, outcomes)),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_arrays_of_another_population_are_refused() -> None:
    state = make_estimator(5).init(jax.random.key(0))
    with pytest.raises(ValueError, match="of another network or population"):
        from_arrays(make_estimator(4), to_arrays(state))
    with pytest.raises(ValueError, match="of another network or population"):
        from_arrays(make_estimator(5), {})


def test_rows_of_another_population_are_refused() -> None:
    estimator = make_estimator(5)
    with pytest.raises(AssertionError):
        estimator.update(estimator.init(jax.random.key(0)), random_outcomes(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_sizes": (64, 0)}, "hidden_sizes and batch_size must be at least 1"),
        ({"batch_size": 0}, "hidden_sizes and batch_size must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"averaging": 1.0}, r"averaging must lie in \[0, 1\), not 1.0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EstimatorConfig(), **changes)  # type: ignore[arg-type]
