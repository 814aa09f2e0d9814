"""Tests of agents.crossq.losses, by hand where networks are tables, by finite differences where not."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from agents.core import Observation, Transition, join
from agents.crossq import CrossQConfig, CrossQNetworks, losses, make_networks, networks

_CONFIG = CrossQConfig(discount=0.9, q_reduction="mean")


def _look_up(
    params: Any, stats: Any, observation: Observation, weight: jax.Array, is_training: bool
) -> tuple[jax.Array, Any]:
    """A network that is a table `[states, A]`; its statistics note the weights that it was trained with."""
    values = jnp.einsum("us,sa->ua", observation.info_state, jnp.nan_to_num(params, posinf=0.0))
    unbounded = jnp.einsum("us,sa->ua", observation.info_state, jnp.isposinf(params).astype(float))
    output = jnp.where(unbounded > 0, jnp.inf, values)
    return output, (weight if is_training else stats)


_TABLE = networks.Network(init=lambda key: (jnp.zeros((2, 2)), jnp.zeros(2)), apply=_look_up)
_TABLES = CrossQNetworks(policy=_TABLE, critic=_TABLE)

# Two states, two actions, two critics; their mean is [[2, 3], [4, 3]], their minimum [[1, 2], [3, 1]].
_Q = jnp.array([[[1.0, 2.0], [3.0, 5.0]], [[3.0, 4.0], [5.0, 1.0]]])
_LOG_PROBS = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
_STATES = Observation(jnp.eye(2), jnp.ones((2, 2), bool), jnp.zeros((2, 0)))

# In state 0 action 1 pays 0.5 and leads to state 1; there action 0 pays -1 and ends the game.
_BATCH = Transition(
    observation=_STATES,
    now=jnp.array([0, 1]),
    then=jnp.array([1, 0]),
    action=jnp.array([1, 0]),
    reward=jnp.array([0.5, -1.0]),
    discount=jnp.array([1.0, 0.0]),
    weight=jnp.ones(2),
)


def _critic_loss(
    q: jax.Array, batch: Transition = _BATCH, config: CrossQConfig = _CONFIG, temperature: float = 0.5
) -> tuple[jax.Array, losses.CriticExtra]:
    stats = jnp.zeros((2, 2))
    return losses.critic_loss(q, stats, _LOG_PROBS, jnp.float32(temperature), batch, _TABLES, config)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        # State 1 under the policy: 0.25 * 4 + 0.75 * 3.
        ({"q_reduction": "mean"}, 3.25),
        ({"q_reduction": "min"}, 1.5),
        # Plus temperature times the entropy in nats.
        ({"q_reduction": "mean", "critic_entropy": True}, 3.25 + 0.5 * 0.5623351446),
    ],
)
def test_critic_loss_by_hand(settings: dict[str, Any], value: float) -> None:
    loss, extra = _critic_loss(_Q, config=dataclasses.replace(_CONFIG, **settings))
    target = 0.5 + 0.9 * value
    first = 0.5 * ((2 - target) ** 2 + (4 - target) ** 2)
    last = 0.5 * ((3 + 1) ** 2 + (5 + 1) ** 2)
    np.testing.assert_allclose(loss, (first + last) / 2, rtol=1e-6)
    # Taken: (2 + 4) / 2 in state 0, (3 + 5) / 2 in state 1.
    np.testing.assert_allclose(extra.q, 3.5, rtol=1e-6)


def test_critic_gradient_by_hand_with_none_through_the_target() -> None:
    gradient = jax.grad(lambda q: _critic_loss(q)[0])(_Q)
    target = 0.5 + 0.9 * 3.25
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 1], expected[1, 0, 1] = (2 - target) / 2, (4 - target) / 2
    expected[0, 1, 0], expected[1, 1, 0] = 4 / 2, 6 / 2
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("entropy", [False, True])
def test_the_end_of_a_game_ignores_what_stands_behind_it(entropy: bool) -> None:
    config = dataclasses.replace(_CONFIG, critic_entropy=entropy)
    batch = _BATCH._replace(now=jnp.array([1]), then=jnp.array([0]), action=jnp.array([0]))
    batch = batch._replace(reward=jnp.array([-1.0]), discount=jnp.zeros(1), weight=jnp.ones(1))
    unbounded = _Q.at[:, 0].set(jnp.inf)
    loss, _ = _critic_loss(unbounded, batch, config)
    assert float(loss) == 0.5 * (4**2 + 6**2)
    gradient = jax.grad(lambda q: _critic_loss(q, batch, config)[0])(unbounded)
    np.testing.assert_array_equal(gradient[:, 1], [[4.0, 0.0], [6.0, 0.0]])


def test_the_environments_discount_multiplies_the_agents() -> None:
    batch = _BATCH._replace(discount=jnp.array([0.5, 0.0]), weight=jnp.array([1.0, 0.0]))
    target = 0.5 + 0.9 * 0.5 * 3.25
    loss, _ = _critic_loss(_Q, batch)
    np.testing.assert_allclose(loss, 0.5 * ((2 - target) ** 2 + (4 - target) ** 2), rtol=1e-6)


def test_decisions_of_weight_zero_are_dropped() -> None:
    padded = jax.tree.map(lambda rows: jnp.concatenate([rows, rows]), _BATCH._replace(observation=()))
    padded = padded._replace(
        observation=_STATES,
        reward=padded.reward.at[2:].set(1e6),
        weight=jnp.array([1.0, 1.0, 0.0, 0.0]),
    )
    loss, extra = _critic_loss(_Q, padded)
    expected, expected_extra = _critic_loss(_Q)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(extra.q, expected_extra.q, rtol=1e-6)
    np.testing.assert_array_equal(extra.stats, expected_extra.stats)
    gradients = [jax.grad(lambda q, b=batch: _critic_loss(q, b)[0])(_Q) for batch in (padded, _BATCH)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_a_batch_without_weight_has_no_loss() -> None:
    loss, extra = _critic_loss(_Q, _BATCH._replace(weight=jnp.zeros(2)))
    assert float(loss) == 0.0
    assert float(extra.q) == 0.0


def test_the_critics_joint_batch_weighs_states_as_often_as_they_were_seen() -> None:
    # State 0 decided at twice, state 1 reached once and decided at once; nothing is reached at the end.
    batch = _BATCH._replace(now=jnp.array([0, 0, 1]), then=jnp.array([1, 0, 0]))
    batch = batch._replace(action=jnp.array([1, 0, 0]), reward=jnp.zeros(3), weight=jnp.ones(3))
    _, extra = _critic_loss(_Q, batch._replace(discount=jnp.array([1.0, 0.0, 0.0])))
    np.testing.assert_array_equal(extra.stats, [[2.0, 2.0], [2.0, 2.0]])
    _, extra = _critic_loss(_Q, batch._replace(discount=jnp.array([1.0, 1.0, 0.0])))
    np.testing.assert_array_equal(extra.stats, [[3.0, 2.0], [3.0, 2.0]])


def test_policy_loss_by_hand() -> None:
    logits = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
    q = jnp.array([[2.0, 3.0], [4.0, 3.0]])
    batch = _BATCH._replace(now=jnp.array([0, 1, 1]), weight=jnp.ones(3))

    def loss(logits: jax.Array, q: jax.Array) -> tuple[jax.Array, losses.PolicyExtra]:
        return losses.policy_loss(logits, jnp.zeros(2), q, jnp.float32(0.5), batch, _TABLES)

    value, extra = loss(logits, q)
    entropy = (0.6931471806 + 2 * 0.5623351446) / 3
    np.testing.assert_allclose(extra.entropy, entropy, rtol=1e-6)
    np.testing.assert_allclose(value, -0.5 * entropy - (2.5 + 2 * 3.25) / 3, rtol=1e-6)
    np.testing.assert_array_equal(extra.stats, [1.0, 2.0])
    by_policy, by_q = jax.grad(lambda logits, q: loss(logits, q)[0], argnums=(0, 1))(logits, q)
    np.testing.assert_array_equal(by_q, np.zeros((2, 2)))
    # In state 0, of share 1/3: pi_a (0.5 log pi_a - Q_a - their mean), and Q differs by 0.5 from its mean.
    np.testing.assert_allclose(by_policy[0], [0.25 / 3, -0.25 / 3], rtol=1e-5)


def test_policy_loss_leaves_illegal_actions_and_rows_without_weight_alone() -> None:
    legal = jnp.array([[True, False], [True, True]])
    batch = _BATCH._replace(observation=_STATES._replace(legal_actions=legal))
    batch = batch._replace(weight=jnp.array([1.0, 0.0]))
    q = jnp.array([[2.0, 1e6], [1e6, -1e6]])

    def loss(logits: jax.Array) -> tuple[jax.Array, losses.PolicyExtra]:
        return losses.policy_loss(logits, jnp.zeros(2), q, jnp.float32(0.5), batch, _TABLES)

    (value, extra), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.zeros((2, 2)))
    assert float(value) == -2.0
    assert float(extra.entropy) == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_critics_are_reduced_by_their_minimum_or_mean() -> None:
    minimum = losses.reduce_critics(_Q, dataclasses.replace(_CONFIG, q_reduction="min"))
    np.testing.assert_array_equal(minimum, [[1.0, 2.0], [3.0, 1.0]])
    np.testing.assert_array_equal(losses.reduce_critics(_Q, _CONFIG), [[2.0, 3.0], [4.0, 3.0]])


# From here on: small networks with batch renormalisation, after warm-up unless said.

_SMALL = CrossQConfig(
    critic_hidden_sizes=(6,), policy_hidden_sizes=(5,), discount=0.9, renorm_warmup=2, renorm_momentum=0.9
)
_NUM_ROWS, _NUM_ACTIONS = 5, 3


def _rows() -> Observation:
    rng = np.random.default_rng(3)
    info_state = jnp.asarray(rng.normal(size=(_NUM_ROWS, 4)), jnp.float32)
    legal = jnp.asarray(
        [[True, True, True], [True, False, True], [False, True, True], [True] * 3, [True] * 3]
    )
    return Observation(info_state, legal, jnp.zeros((_NUM_ROWS, 0)))


def _shared_batch() -> Transition:
    """Eight decisions over five shared rows; one is padding, two end the game."""
    return Transition(
        observation=_rows(),
        now=jnp.array([0, 0, 1, 2, 3, 0, 4, 2]),
        then=jnp.array([1, 2, 4, 4, 0, 0, 3, 1]),
        action=jnp.array([0, 1, 2, 1, 0, 2, 2, 2]),
        reward=jnp.array([0.0, 0.5, -1.0, 0.25, 1.0, 0.0, -0.5, 0.75]),
        discount=jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.5]),
        weight=jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
    )


def _joined(batch: Transition) -> Transition:
    now, then = (jax.tree.map(lambda rows, i=i: rows[i], batch.observation) for i in (batch.now, batch.then))
    joined = join(now, batch.action, batch.reward, batch.discount, then)
    return joined._replace(weight=batch.weight)


_NETWORKS = make_networks(jax.tree.map(lambda rows: rows[:1], _rows()), _NUM_ACTIONS, _SMALL)


class _Learner(NamedTuple):
    """Two critics and a policy."""

    params: Any
    stats: Any
    policy_params: Any
    policy_stats: Any


@functools.cache
def _prepare(steps: int) -> _Learner:
    """Networks with the statistics that so many training passes over the rows leave."""

    def train(params: Any, stats: Any, policy_params: Any, policy_stats: Any) -> _Learner:
        evenly = jnp.ones(_NUM_ROWS)
        _, stats = networks.apply_critics(_NETWORKS.critic, params, stats, _rows(), evenly, True)
        _, policy_stats = _NETWORKS.policy.apply(policy_params, policy_stats, _rows(), evenly, True)
        return _Learner(params, stats, policy_params, policy_stats)

    critics = jax.jit(jax.vmap(_NETWORKS.critic.init))(jax.random.split(jax.random.key(1), 2))
    learner = _Learner(*critics, *jax.jit(_NETWORKS.policy.init)(jax.random.key(0)))
    train = jax.jit(train)
    for _ in range(steps):
        learner = train(*learner)
    return learner


def _log_probs(learner: _Learner, observation: Observation) -> jax.Array:
    evenly = jnp.ones(observation.info_state.shape[0])
    logits, _ = _NETWORKS.policy.apply(
        learner.policy_params, learner.policy_stats, observation, evenly, False
    )
    return networks.masked_log_probs(logits, observation.legal_actions)


def _assert_close(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, other)


@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize("steps", [0, 3])
def test_shared_rows_give_the_critic_what_a_row_for_each_gives(steps: int, entropy: bool) -> None:
    config = dataclasses.replace(_SMALL, critic_entropy=entropy)
    learner = _prepare(steps)

    def loss(params: Any, batch: Transition) -> tuple[jax.Array, losses.CriticExtra]:
        log_probs = _log_probs(learner, batch.observation)
        return losses.critic_loss(
            params, learner.stats, log_probs, jnp.float32(0.3), batch, _NETWORKS, config
        )

    both = jax.jit(
        lambda *batches: [jax.value_and_grad(loss, has_aux=True)(learner.params, b) for b in batches]
    )
    shared, joined = both(_shared_batch(), _joined(_shared_batch()))
    _assert_close(shared, joined)
    assert float(shared[0][0]) > 0.1


def test_shared_rows_give_the_policy_what_a_row_for_each_gives() -> None:
    learner = _prepare(3)

    def loss(params: Any, batch: Transition) -> tuple[jax.Array, losses.PolicyExtra]:
        evenly = jnp.ones(batch.observation.info_state.shape[0])
        critics = (_NETWORKS.critic, learner.params, learner.stats)
        q, _ = networks.apply_critics(*critics, batch.observation, evenly, False)
        stats, temperature = learner.policy_stats, jnp.float32(0.3)
        return losses.policy_loss(params, stats, q.mean(axis=0), temperature, batch, _NETWORKS)

    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    both = jax.jit(lambda *batches: [value_and_grad(learner.policy_params, batch) for batch in batches])
    shared, joined = both(_shared_batch(), _joined(_shared_batch()))
    _assert_close(shared, joined)


def test_one_joint_pass_is_not_two_passes() -> None:
    """States and next states are normalised together (Bhatt et al. 2024, section 3.1)."""
    learner, batch = _prepare(0), _shared_batch()
    joined, size = _joined(batch), batch.action.shape[0]
    now = jax.tree.map(lambda rows: rows[:size], joined.observation)
    then = jax.tree.map(lambda rows: rows[size:], joined.observation)
    weight, goes_on = batch.weight, batch.weight * (batch.discount > 0)
    critic = (_NETWORKS.critic, learner.params, learner.stats)

    def squared_error(q_now: jax.Array, q_then: jax.Array) -> jax.Array:
        value = jnp.sum(jnp.exp(_log_probs(learner, then)) * q_then.mean(axis=0), axis=-1)
        target = batch.reward + 0.9 * batch.discount * value
        error = q_now[:, jnp.arange(size), batch.action] - target
        return 0.5 * jnp.sum(weight / weight.sum() * error**2)

    @jax.jit
    def compare() -> tuple[Any, ...]:
        rows = (joined.observation, jnp.concatenate([weight, goes_on]))
        q, stats = networks.apply_critics(*critic, *rows, True)
        apart = [networks.apply_critics(*critic, *one, True)[0] for one in ((now, weight), (then, goes_on))]
        log_probs = _log_probs(learner, batch.observation)
        loss, extra = losses.critic_loss(*learner[:2], log_probs, jnp.float32(0.3), batch, _NETWORKS, _SMALL)
        return loss, squared_error(q[:, :size], q[:, size:]), squared_error(*apart), extra.stats, stats

    loss, together, apart, stats, expected_stats = compare()
    np.testing.assert_allclose(loss, together, rtol=1e-5)
    assert abs(float(loss - apart)) > 1e-3
    _assert_close(stats, expected_stats)


def _double(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == jnp.float32 else leaf, tree)


def test_critic_gradient_agrees_with_finite_differences() -> None:
    """The target is held at the parameters where the gradient is taken."""
    learner, batch = _prepare(0), _joined(_shared_batch())
    log_probs = jax.jit(_log_probs)(learner, batch.observation)
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        learner, batch, log_probs = _double((learner, batch, log_probs))
        flat, unravel = ravel_pytree(learner.params)
        weight = jnp.concatenate([batch.weight, batch.weight * (batch.discount > 0)])

        def q_of(flat: jax.Array) -> jax.Array:
            critic = (_NETWORKS.critic, unravel(flat), learner.stats)
            return networks.apply_critics(*critic, batch.observation, weight, True)[0]

        def loss(flat: jax.Array) -> jax.Array:
            given = (unravel(flat), learner.stats, log_probs, 0.3)
            return losses.critic_loss(*given, batch, _NETWORKS, _SMALL)[0]

        def differences(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
            value = jnp.sum(jnp.exp(log_probs) * q_of(flat).mean(axis=0), axis=-1)[batch.then]
            target = batch.reward + 0.9 * batch.discount * value

            def held(flat: jax.Array) -> jax.Array:
                error = q_of(flat)[:, batch.now, batch.action] - target
                return 0.5 * jnp.sum(batch.weight / batch.weight.sum() * error**2)

            steps = 1e-6 * jnp.eye(flat.size)
            return held(flat), (jax.lax.map(held, flat + steps) - jax.lax.map(held, flat - steps)) / 2e-6

        value, gradient = jax.jit(jax.value_and_grad(loss))(flat)
        expected_value, expected = jax.jit(differences)(flat)
    np.testing.assert_allclose(value, expected_value, rtol=1e-9)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert float(np.abs(gradient).max()) > 0.1
