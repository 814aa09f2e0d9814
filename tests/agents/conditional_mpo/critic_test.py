"""Tests of agents.conditional_mpo.critic: Retrace, targets, losses, and projections onto atoms."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo import critic
from agents.conditional_mpo.config import ConditionalMPOConfig

needs_rlax = pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_retrace = jax.jit(critic.retrace)

_ATOMS = critic.atoms(ConditionalMPOConfig(num_atoms=5, value_min=-2.0, value_max=2.0))


def _rows(num: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random arguments of `retrace`, in its order.

    The decisions are those of several episodes. Some end within the batch, and some are cut off.
    """
    random = np.random.default_rng(seed)
    continues = random.random(num) < 0.8
    ends = ~continues & (random.random(num) < 0.5)
    return {
        "q_taken": random.normal(size=num),
        "next_value": random.normal(size=num),
        "reward": random.normal(size=num),
        "discount": np.where(ends, 0.0, random.uniform(0.5, 1.0, num)),
        "log_ratio": random.normal(size=num),
        "continues": continues,
    }


def _loop(rows: dict[str, np.ndarray], lam: float) -> np.ndarray:
    """Computes Retrace (Munos et al. 2016) backwards in time, one decision after the other."""
    q, value, reward, discount, log_ratio, continues = rows.values()
    returns = np.zeros(len(q))
    for b in reversed(range(len(q))):
        returns[b] = reward[b] + discount[b] * value[b]
        if continues[b] and b + 1 < len(q):
            trace = lam * min(1.0, np.exp(log_ratio[b + 1]))
            returns[b] += discount[b] * trace * (returns[b + 1] - q[b + 1])
    return returns


def test_retrace_of_three_decisions_by_hand() -> None:
    # The last decision ended the episode. The policy's ratios to the behaviour policy are 1/2 for the second
    # action and 2 for the last.
    returns = _retrace(
        q_taken=jnp.array([1.0, 2.0, 3.0]),
        next_value=jnp.array([4.0, 5.0, 0.0]),
        reward=jnp.array([0.5, -1.0, 7.0]),
        discount=jnp.array([0.9, 0.5, 0.0]),
        log_ratio=jnp.log(jnp.array([9.0, 0.5, 2.0])),
        continues=jnp.array([True, True, False]),
        lam=0.8,
    )
    last = 7.0
    second = -1.0 + 0.5 * (5.0 + 0.8 * 1.0 * (last - 3.0))
    first = 0.5 + 0.9 * (4.0 + 0.8 * 0.5 * (second - 2.0))
    np.testing.assert_allclose(returns, [first, second, last], rtol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("num", [1, 2, 37])
def test_retrace_is_its_recurrence(num: int, lam: float) -> None:
    rows = _rows(num)
    returns = _retrace(**rows, lam=lam)
    np.testing.assert_allclose(returns, _loop(rows, lam), rtol=1e-5, atol=1e-5)


def test_without_traces_a_return_is_one_reward_and_a_value() -> None:
    rows = _rows(20)
    one_step = rows["reward"] + rows["discount"] * rows["next_value"]
    np.testing.assert_allclose(_retrace(**rows, lam=0.0), one_step, rtol=1e-6, atol=1e-6)
    alone = {**rows, "continues": np.zeros(20, bool)}
    np.testing.assert_allclose(_retrace(**alone, lam=1.0), one_step, rtol=1e-6, atol=1e-6)


def test_on_policy_and_with_lambda_one_a_return_is_what_was_paid() -> None:
    # If the value of the action taken is the value of the state, the corrections telescope.
    rows = _rows(6)
    rows["continues"], rows["log_ratio"] = np.arange(6) < 5, np.zeros(6)
    rows["next_value"] = np.append(rows["q_taken"][1:], 2.5)
    expected = 2.5
    for reward, discount in zip(rows["reward"][::-1], rows["discount"][::-1], strict=True):
        expected = reward + discount * expected
    np.testing.assert_allclose(_retrace(**rows, lam=1.0)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("ratio", [np.nan, np.inf, -np.inf])
def test_ratios_where_nothing_led_to_may_be_anything(ratio: float) -> None:
    rows = _rows(4)
    rows["continues"] = np.array([True, False, True, True])
    expected = _retrace(**rows, lam=0.9)
    rows["log_ratio"][[0, 2]] = ratio
    np.testing.assert_array_equal(_retrace(**rows, lam=0.9), expected)


def test_ratios_above_one_count_as_one_and_impossible_actions_not_at_all() -> None:
    rows = _rows(3)
    rows["continues"] = np.ones(3, bool)
    one_step = rows["reward"] + rows["discount"] * rows["next_value"]
    plain, large, none = (
        _retrace(**{**rows, "log_ratio": np.full(3, ratio)}, lam=0.9) for ratio in (0.0, 500.0, -np.inf)
    )
    np.testing.assert_array_equal(plain, large)
    np.testing.assert_allclose(none, one_step, rtol=1e-6, atol=1e-6)
    assert np.abs(plain - one_step).max() > 0.01


@needs_rlax
def test_retrace_as_in_rlax() -> None:
    import rlax

    q, value, reward, discount, log_ratio, _ = (jnp.asarray(row, jnp.float32) for row in _rows(9).values())
    trace = 0.9 * jnp.minimum(1.0, jnp.exp(log_ratio))
    expected = rlax.general_off_policy_returns_from_q_and_v(q[1:], value, reward, discount, trace[1:])
    returns = _retrace(q, value, reward, discount, log_ratio, jnp.ones(9, bool), 0.9)
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=1e-6)


def test_atoms_are_evenly_spaced_between_the_bounds() -> None:
    np.testing.assert_allclose(_ATOMS, [-2.0, -1.0, 0.0, 1.0, 2.0], atol=1e-7)


def test_expectation_weighs_atoms_by_their_probabilities() -> None:
    logits = jnp.log(jnp.array([[[0.1, 0.2, 0.4, 0.2, 0.1], [0.5, 0.0, 0.0, 0.25, 0.25]]])) + 7.0
    np.testing.assert_allclose(critic.expectation(logits, _ATOMS), [[0.0, -0.25]], atol=1e-6)


@pytest.mark.parametrize(
    ("reward", "discount", "expected"),
    [
        (0.0, 1.0, [0.1, 0.2, 0.3, 0.15, 0.25]),
        # The probability of a return halfway between two atoms is split equally.
        (0.5, 1.0, [0.05, 0.15, 0.25, 0.225, 0.325]),
        # Without a future, all probability is at the reward, or at the last atom on that side.
        (1.25, 0.0, [0.0, 0.0, 0.0, 0.75, 0.25]),
        (9.0, 0.0, [0.0, 0.0, 0.0, 0.0, 1.0]),
        (-9.0, 0.5, [1.0, 0.0, 0.0, 0.0, 0.0]),
        # The discounted returns are -1, -0.5, 0, 0.5 and 1.
        (0.0, 0.5, [0.0, 0.1 + 0.1, 0.1 + 0.3 + 0.075, 0.075 + 0.25, 0.0]),
    ],
)
def test_projections_by_hand(reward: float, discount: float, expected: list[float]) -> None:
    probs = jnp.array([[0.1, 0.2, 0.3, 0.15, 0.25]])
    projected = critic.project(probs, _ATOMS, jnp.array([reward]), jnp.array([discount]))
    np.testing.assert_allclose(projected[0], expected, atol=1e-6)


def _distributions(num: int, num_atoms: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(3).dirichlet(np.ones(num_atoms), num), jnp.float32)


@pytest.mark.parametrize("num_atoms", [2, 5, 51])
def test_projecting_keeps_probability_and_inside_the_range_the_mean(num_atoms: int) -> None:
    config = ConditionalMPOConfig(num_atoms=num_atoms, value_min=-3.0, value_max=1.0)
    atoms, probs = critic.atoms(config), _distributions(64, num_atoms)
    random = np.random.default_rng(4)
    reward, discount = jnp.asarray(random.uniform(-4, 4, 64)), jnp.asarray(random.uniform(0, 1, 64))
    projected = critic.project(probs, atoms, reward, discount)
    assert (projected >= 0).all()
    np.testing.assert_allclose(projected.sum(axis=-1), 1.0, rtol=1e-5)
    inside = (reward + discount * -3.0 >= -3.0) & (reward + discount * 1.0 <= 1.0)
    assert inside.sum() > 5
    expected = reward + discount * (probs @ atoms)
    np.testing.assert_allclose((projected @ atoms)[inside], expected[inside], atol=1e-5)


@needs_rlax
def test_projections_as_in_rlax() -> None:
    import rlax

    config = ConditionalMPOConfig(num_atoms=21, value_min=-10.0, value_max=10.0)
    atoms, probs = critic.atoms(config), _distributions(32, 21)
    random = np.random.default_rng(5)
    reward, discount = jnp.asarray(random.normal(0, 8, 32)), jnp.asarray(random.uniform(0, 1, 32))
    moved = reward[:, None] + discount[:, None] * atoms
    expected = jax.vmap(rlax.categorical_l2_project, (0, 0, None))(moved, probs, atoms)
    np.testing.assert_allclose(critic.project(probs, atoms, reward, discount), expected, atol=1e-5)
