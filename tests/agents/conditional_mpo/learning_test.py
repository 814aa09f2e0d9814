"""Tests of agents.conditional_mpo.learning: MPO and V-MPO as agents, with discrete and continuous actions."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo import PRESETS, ConditionalMPOConfig, make_core, make_networks
from agents.conditional_mpo.conditioning import make_contexts
from agents.core import AgentCore, Bounds, Observation, Transition, join

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)
_SMALL = dataclasses.replace(
    PRESETS["acme"],
    policy_hidden_sizes=(8,),
    critic_hidden_sizes=(8,),
    learning_rate=0.01,
    final_learning_rate=0.01,
    target_policy_period=3,
    target_critic_period=2,
    num_samples=8,
    temperature=1.0,
)
_BOUNDS = Bounds(jnp.array([-1.0, 0.0]), jnp.array([1.0, 4.0]))
_NUM_ACTIONS = 3


def _observations(num: int, seed: int, context: np.ndarray | None = None) -> Observation:
    rng = np.random.default_rng(seed)
    legal = rng.random((num, _NUM_ACTIONS)) < 0.6
    legal[np.arange(num), rng.integers(_NUM_ACTIONS, size=num)] = True
    context = np.zeros((num, 0)) if context is None else context
    info_state = jnp.asarray(rng.normal(size=(num, 4)), jnp.float32)
    return Observation(info_state, jnp.asarray(legal), jnp.asarray(context, jnp.float32))


def _discrete_batch(num: int = 12, context: np.ndarray | None = None, seed: int = 0) -> Transition:
    rng = np.random.default_rng(seed)
    now, then = (_observations(num, seed + part, context) for part in (1, 2))
    # The last legal action, because action 0 would hide errors of indexing.
    action = _NUM_ACTIONS - 1 - jnp.argmax(now.legal_actions[:, ::-1], axis=1)
    reward = jnp.asarray(rng.normal(size=num), jnp.float32)
    return join(now, action, reward, jnp.asarray(rng.integers(0, 2, size=num), jnp.float32), then)


def _continuous_batch(num: int = 12) -> Transition:
    rng = np.random.default_rng(0)
    now, then = (jnp.asarray(rng.normal(size=(num, 4)), jnp.float32) for _ in range(2))
    action = jnp.asarray(rng.uniform(_BOUNDS.low, _BOUNDS.high, size=(num, 2)), jnp.float32)
    reward = jnp.asarray(rng.normal(size=num), jnp.float32)
    batch = join(now, action, reward, jnp.asarray(rng.integers(0, 2, size=num), jnp.float32), then)
    return batch._replace(drawn=action)


def _make(config: ConditionalMPOConfig, is_discrete: bool) -> AgentCore:
    if is_discrete:
        example: Any = Observation(
            jnp.zeros((1, 4)), jnp.ones((1, _NUM_ACTIONS), bool), jnp.zeros((1, config.context_size))
        )
        networks = make_networks(example, _NUM_ACTIONS, config)
    else:
        networks = make_networks(jnp.zeros((1, 4)), _BOUNDS, config)
    core = make_core(networks, config)
    return core._replace(init=_jit(core.init), update=_jit(core.update))


def _equal(one: Any, other: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


_KINDS = {
    "discrete": (_SMALL, True),
    "discrete, categorical": (dataclasses.replace(_SMALL, num_atoms=5), True),
    "discrete, retrace": (dataclasses.replace(_SMALL, retrace=True), True),
    "discrete, V-MPO": (dataclasses.replace(_SMALL, on_policy=True), True),
    "continuous": (_SMALL, False),
    "continuous, one constraint, no penalty": (
        dataclasses.replace(_SMALL, per_dimension=False, action_penalty=False),
        False,
    ),
    "continuous, categorical": (dataclasses.replace(_SMALL, num_atoms=5), False),
    "continuous, retrace": (dataclasses.replace(_SMALL, retrace=True), False),
    "continuous, V-MPO": (dataclasses.replace(_SMALL, on_policy=True), False),
}


@functools.cache
def _core(kind: str, policy_delay: int = 1) -> AgentCore:
    config, is_discrete = _KINDS[kind]
    return _make(dataclasses.replace(config, policy_delay=policy_delay), is_discrete)


def _batch(kind: str) -> Transition:
    batch = _discrete_batch() if _KINDS[kind][1] else _continuous_batch()
    num = batch.reward.shape[0]
    if _KINDS[kind][0].retrace:
        follows = jnp.arange(num) % 4 != 3
        batch = batch._replace(log_prob=jnp.full(num, -1.0), continues=follows & (batch.discount > 0))
    return batch


@functools.cache
def _states(kind: str, policy_delay: int = 1) -> list[Any]:
    """Returns the state before the first of six updates and after each of them, with the metrics."""
    core = _core(kind, policy_delay)
    states = [(core.init(jax.random.key(0)), {})]
    for _ in range(6):
        states.append(core.update(states[-1][0], _batch(kind)))
    return states


@pytest.mark.parametrize("kind", _KINDS)
def test_updates_count_and_report_finite_numbers(kind: str) -> None:
    for number, (state, metrics) in enumerate(_states(kind)):
        assert state.step == number
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
        assert all(np.isfinite(value) for value in metrics.values())
    names = set(_states(kind)[-1][1])
    assert {"critic_loss", "policy_loss", "kl_loss", "dual_loss", "temperature", "entropy"} <= names
    constraints = ("policy",) if _KINDS[kind][1] else ("mean", "deviation")
    for name in constraints:
        assert {f"kl_{name}", f"kl_{name}_bound", f"alpha_{name}"} <= names


_DELAYED = ("discrete", "discrete, V-MPO", "continuous", "continuous, categorical", "continuous, retrace")


@pytest.mark.parametrize("kind", _DELAYED)
def test_a_delayed_policy_is_updated_now_and_then_and_the_critic_always(kind: str) -> None:
    for (before, _), (after, metrics) in itertools.pairwise(_states(kind, policy_delay=3)):
        due = int(after.step) % 3 == 0
        for name in ("policy", "policy_optimiser", "duals", "duals_optimiser"):
            assert _equal(getattr(after, name), getattr(before, name)) != due
        assert not _equal(after.critic, before.critic)
        for name, value in metrics.items():
            assert np.isfinite(value) == (due or name in ("critic_loss", "q"))


@pytest.mark.parametrize("kind", _DELAYED)
def test_a_delayed_update_that_is_due_is_one_without_delay(kind: str) -> None:
    before, after = _states(kind, policy_delay=3)[2:4]
    agree = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(agree, after, _core(kind).update(before[0], _batch(kind)))


@pytest.mark.parametrize("kind", _KINDS)
def test_targets_are_copied_when_due_and_only_then(kind: str) -> None:
    states = [state for state, _ in _states(kind)]
    for before, after in itertools.pairwise(states):
        renewed = int(after.step) % 3 == 0
        assert _equal(after.target_policy, after.policy if renewed else before.target_policy)
        assert not _equal(after.policy, before.policy)
        if _KINDS[kind][0].on_policy:
            assert after.target_critic == ()
        else:
            renewed = int(after.step) % 2 == 0
            assert _equal(after.target_critic, after.critic if renewed else before.target_critic)


@pytest.mark.parametrize("kind", _KINDS)
def test_acting_is_by_the_target_policy(kind: str) -> None:
    state = _states(kind)[1][0]
    assert _equal(_core(kind).variables(state), state.target_policy)


def test_an_update_is_the_same_again_and_differs_with_the_key() -> None:
    core, batch = _core("continuous"), _batch("continuous")
    state = core.init(jax.random.key(0))
    assert _equal(core.update(state, batch), core.update(state, batch))
    other = core.init(jax.random.key(0))._replace(key=jnp.array([3, 4], jnp.uint32))
    assert not _equal(core.update(state, batch)[0].policy, core.update(other, batch)[0].policy)


@pytest.mark.parametrize("kind", ["discrete", "discrete, V-MPO", "continuous", "continuous, V-MPO"])
def test_decisions_without_weight_count_for_nothing(kind: str) -> None:
    batch = _batch(kind)
    weight = batch.weight.at[-4:].set(0.0)
    changed = batch.reward.at[-4:].set(100.0)
    state = _states(kind)[1][0]
    one = _core(kind).update(state, batch._replace(weight=weight))
    other = _core(kind).update(state, batch._replace(weight=weight, reward=changed))
    assert _equal(one, other)


def test_the_policy_is_not_fitted_behind_the_end_of_an_episode() -> None:
    batch = _discrete_batch()
    ended = batch._replace(discount=jnp.zeros_like(batch.discount))
    rows = batch.observation.info_state.at[12:].set(7.0)
    elsewhere = ended._replace(observation=batch.observation._replace(info_state=rows))
    state = _states("discrete")[1][0]
    assert _equal(*(_core("discrete").update(state, each)[0] for each in (ended, elsewhere)))


def _with_rows(num_decisions: int, num_rows: int, is_distinct: bool) -> Transition:
    """Returns decisions among few observations.

    Args:
      num_decisions: number of decisions.
      num_rows: number of distinct observations.
      is_distinct: True to keep a row for each distinct observation; False to keep two for each decision.
    """
    rng = np.random.default_rng(0)
    seen = _observations(num_rows, 1)
    now, then = (jnp.asarray(rng.integers(num_rows, size=num_decisions), jnp.int32) for _ in range(2))
    action = _NUM_ACTIONS - 1 - jnp.argmax(seen.legal_actions[now][:, ::-1], axis=1)
    reward = jnp.asarray(rng.normal(size=num_decisions), jnp.float32)
    discount = jnp.asarray(rng.integers(0, 2, size=num_decisions), jnp.float32)
    weight = jnp.asarray(rng.uniform(size=num_decisions), jnp.float32)
    if is_distinct:
        return Transition(seen, now, then, action, reward, discount, weight)
    before, after = (jax.tree.map(lambda leaf, index=index: leaf[index], seen) for index in (now, then))
    return join(before, action, reward, discount, after)._replace(weight=weight)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["discrete", "discrete, categorical", "discrete, V-MPO"])
def test_looking_at_every_observation_once_changes_nothing(kind: str) -> None:
    core, state = _core(kind), _states(kind)[2][0]
    (once, metrics), (twice, same) = (core.update(state, _with_rows(30, 9, each)) for each in (True, False))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), once, twice)
    for name, value in metrics.items():
        np.testing.assert_allclose(value, same[name], rtol=1e-4, atol=1e-5)


def test_what_is_illegal_gets_no_probability_even_where_nothing_is_legal() -> None:
    core, state = _core("discrete"), _states("discrete")[-1][0]
    observation = _observations(50, 5)
    legal = observation.legal_actions.at[0].set(False)
    probs = np.asarray(core.probs(core.variables(state), observation._replace(legal_actions=legal)))
    np.testing.assert_array_equal(probs[~np.asarray(legal)], 0.0)
    np.testing.assert_allclose(probs[1:].sum(axis=1), 1.0, atol=1e-6)
    action = core.act(core.variables(state), jax.random.key(0), observation)
    assert np.asarray(observation.legal_actions)[np.arange(50), action].all()


@pytest.mark.parametrize("exploration", [0.0, 0.4])
def test_log_prob_is_that_of_acting(exploration: float) -> None:
    config = dataclasses.replace(_SMALL, exploration=exploration)
    core, state = _make(config, True), _states("discrete")[-1][0]
    observation = _observations(20, 5)
    action = core.act(core.variables(state), jax.random.key(0), observation)
    expected = core.behaviour(core.variables(state), observation)[jnp.arange(20), action]
    found = core.log_prob(core.variables(state), observation, action)
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-6)


def test_continuous_actions_lie_within_bounds_and_judged_ones_in_the_middle() -> None:
    core, state = _core("continuous"), _states("continuous")[-1][0]
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(500, 4)), jnp.float32)
    acted = np.asarray(core.act(core.variables(state), jax.random.key(0), rows))
    assert (acted >= _BOUNDS.low).all()
    assert (acted <= _BOUNDS.high).all()
    assert acted[:, 1].std() > 0.3
    performed = core.perform(core.variables(state), jax.random.key(0), rows)
    np.testing.assert_array_equal(performed, core.perform(core.variables(state), jax.random.key(1), rows))


def test_what_is_drawn_beyond_the_bounds_is_told_beside_the_clipped_action() -> None:
    core, state = _core("continuous"), _states("continuous")[0][0]
    variables, key, rows = core.variables(state), jax.random.key(0), jnp.zeros((500, 4))
    action, drawn = core.choose(variables, key, rows)
    np.testing.assert_array_equal(action, core.act(variables, key, rows))
    np.testing.assert_array_equal(action, jnp.clip(drawn, *_BOUNDS))
    assert 0.02 < (action != drawn).mean() < 0.5
    # Densities are those of the draws: the mean of their logarithms is minus the entropy.
    _, metrics = core.update(state, _batch("continuous"))
    mean = core.log_prob(variables, rows, drawn).mean()
    np.testing.assert_allclose(mean, -metrics["entropy"], atol=0.15)


@pytest.mark.parametrize("kind", ["continuous, V-MPO", "continuous, retrace"])
def test_clipped_actions_alone_are_refused_where_densities_matter(kind: str) -> None:
    core, batch = _core(kind), _batch(kind)
    with pytest.raises(ValueError, match="as it was drawn, before it was clipped") as caught:
        core.update(core.init(jax.random.key(0)), batch._replace(drawn=None))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["continuous, V-MPO", "continuous, retrace", "continuous"])
def test_draws_count_only_where_densities_matter(kind: str) -> None:
    core, batch, state = _core(kind), _batch(kind), _states(kind)[0][0]
    after, _ = core.update(state, batch)
    other, _ = core.update(state, batch._replace(drawn=2 * batch.drawn))
    assert _equal(after, other) == (kind == "continuous")


def test_noise_does_not_take_the_policy_s_deviation_away() -> None:
    """In a bandit whose rewards are pure noise, V-MPO has no reason to become narrower.

    Fitted to clipped actions, its deviation would fall from 0.7 to 0.57 in as many updates.
    """
    config = dataclasses.replace(
        PRESETS["vmpo"], policy_hidden_sizes=(16,), critic_hidden_sizes=(16,), discount=0.0
    )
    bounds, rows = Bounds(jnp.array([-1.0]), jnp.array([1.0])), jnp.ones((256, 1))
    networks = make_networks(rows[:1], bounds, config)
    core = make_core(networks, config)

    def update(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        act_key, reward_key = jax.random.split(key)
        action, drawn = core.choose(core.variables(state), act_key, rows)
        reward = jax.random.normal(reward_key, (256,))
        batch = join(rows, action, reward, jnp.zeros(256), rows)._replace(drawn=drawn)
        state, metrics = core.update(state, batch)
        return state, jnp.exp(metrics["entropy"] - 0.5 * jnp.log(2 * jnp.pi * jnp.e))

    state = core.init(jax.random.key(0))
    _, deviation = jax.jit(lambda state, keys: jax.lax.scan(update, state, keys))(
        state, jax.random.split(jax.random.key(1), 750)
    )
    assert deviation[:10].mean() == pytest.approx(0.7, abs=0.02)
    assert deviation[-50:].mean() > 0.69


def test_members_with_different_rewards_learn_different_policies() -> None:
    """Both members get the same observations, but are paid for different actions."""
    config = dataclasses.replace(_SMALL, num_members=2, embedding_size=4, epsilon_policy=0.1, epsilon=0.5)
    core = _make(config, True)
    contexts = make_contexts(config, np.array([0, 1]), None)
    member = np.arange(64) % 2
    rng = np.random.default_rng(0)
    seen = Observation(jnp.ones((64, 4)), jnp.ones((64, 3), bool), jnp.asarray(contexts[member]))
    action = jnp.asarray(rng.integers(3, size=64), jnp.int32)
    reward = jnp.asarray(action == np.where(member == 0, 0, 2), jnp.float32)
    batch = join(seen, action, reward, jnp.zeros(64), seen)
    state = core.init(jax.random.key(0))
    for _ in range(300):
        state, _ = core.update(state, batch)
    first = jax.tree.map(lambda rows: rows[:2], seen)
    probs = core.probs(core.variables(state), first)
    assert probs[0, 0] > 0.9
    assert probs[1, 2] > 0.9


def test_data_of_one_member_leave_the_embedding_of_another_alone() -> None:
    config = dataclasses.replace(_SMALL, num_members=2, duals_per_member=True, max_gradient_norm=1e9)
    core = _make(config, True)
    context = make_contexts(config, np.zeros(12, int), None)
    state = core.init(jax.random.key(0))
    after, _ = core.update(state, _discrete_batch(12, context))
    for name in ("policy", "critic"):
        before, now = (getattr(each, name)["embed"]["embeddings"] for each in (state, after))
        assert not np.array_equal(before[0], now[0])
        np.testing.assert_array_equal(before[1], now[1])
    for before, now in zip(jax.tree.leaves(state.duals), jax.tree.leaves(after.duals), strict=True):
        np.testing.assert_array_equal(before[1:], now[1:])


def _bandit(num: int, seed: int) -> Transition:
    """Returns uniform actions, whose rewards fall with the squared distance from (0.4, 1.0).

    In units of [-1, 1], this is (0.4, -0.5).
    """
    action = np.random.default_rng(seed).uniform(_BOUNDS.low, _BOUNDS.high, size=(num, 2))
    reward = -np.square(action[:, 0] - 0.4) - np.square((action[:, 1] - 1.0) / 2)
    rows = jnp.ones((num, 4))
    return join(
        rows, jnp.asarray(action, jnp.float32), jnp.asarray(reward, jnp.float32), jnp.zeros(num), rows
    )


@pytest.mark.slow
def test_a_quadratic_bandit_is_solved_within_the_bounds_of_its_constraints() -> None:
    config = dataclasses.replace(
        _SMALL,
        critic_hidden_sizes=(32, 32),
        epsilon_mean=0.01,
        epsilon_deviation=0.001,
        alpha_mean=1.0,
        alpha_deviation=10.0,
        temperature=0.3,
        target_policy_period=10,
        target_critic_period=10,
        num_samples=20,
        learning_rate=0.003,
        final_learning_rate=0.0003,
        horizon=1200,
    )
    core = _make(config, False)
    state, kls = core.init(jax.random.key(0)), []
    for step in range(1200):
        state, metrics = core.update(state, _bandit(64, step))
        kls.append([metrics["kl_mean"], metrics["kl_deviation"]])
    performed = core.perform(core.variables(state), jax.random.key(0), jnp.ones((1, 4)))[0]
    np.testing.assert_allclose(performed, [0.4, 1.0], atol=0.1)
    measured = np.mean(kls[800:], axis=0)
    assert measured[0] <= 1.1 * config.epsilon_mean
    assert measured[1] <= 1.1 * config.epsilon_deviation


def test_retrace_without_sequences_is_refused() -> None:
    core = make_core(
        make_networks(jnp.zeros((1, 4)), _BOUNDS, _SMALL), dataclasses.replace(_SMALL, retrace=True)
    )
    with pytest.raises(ValueError, match="sequence_length above 1"):
        core.update(core.init(jax.random.key(0)), _continuous_batch())


def test_retrace_with_uniform_continuous_actions_is_refused() -> None:
    config = dataclasses.replace(_SMALL, retrace=True, exploration=0.1)
    with pytest.raises(ValueError, match="exploration=0"):
        make_core(make_networks(jnp.zeros((1, 4)), _BOUNDS, config), config)


def test_continuous_actions_have_no_probabilities() -> None:
    core, state = _core("continuous"), _states("continuous")[0][0]
    with pytest.raises(ValueError, match="continuous"):
        core.probs(core.variables(state), jnp.zeros((1, 4)))
