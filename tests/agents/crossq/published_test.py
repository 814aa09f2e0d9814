"""Tests of CrossQ with continuous actions against a second implementation of the published algorithm.

The second implementation uses Flax. It does not vectorise over critics, its rows have no weights, and it
writes Adam out. Both get the same parameters, batches and noise. Only the temperature's loss is that of the
ports of CrossQ: it is linear in the temperature's logarithm, not in the temperature as in the authors' code.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.core import Transition, join
from agents.crossq import Bounds, CrossQConfig, learning, make_core, make_networks

# Compilation takes most of these tests' time, so XLA is asked to optimise as little as it can.
_jit: Any = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)

_LOW, _HIGH = np.array([-2.0, 0.0]), np.array([2.0, 1.0])
_WIDTHS = (5, 4)
_NUM = 10


class _Norm(nn.Module):
    """Batch renormalisation (Ioffe 2017, algorithm 1); batch normalisation if `limits` are 1 and 0.

    Attributes:
      limits: bounds of the corrections r and d.
      warmup: number of training passes without corrections.
    """

    limits: tuple[float, float]
    warmup: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        size = x.shape[-1]
        moving_mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(size))
        moving_variance = self.variable("batch_stats", "variance", lambda: jnp.ones(size))
        count = self.variable("batch_stats", "count", lambda: jnp.int32(0))
        gamma = self.param("scale", nn.initializers.ones, (size,))
        beta = self.param("offset", nn.initializers.zeros, (size,))
        moving_sigma = jnp.sqrt(moving_variance.value + 1e-3)
        if not train:
            return gamma * (x - moving_mean.value) / moving_sigma + beta
        mean, variance = x.mean(axis=0), x.var(axis=0)
        sigma = jnp.sqrt(variance + 1e-3)
        r_max, d_max = self.limits
        r = jnp.clip(jax.lax.stop_gradient(sigma / moving_sigma), 1 / r_max, r_max)
        d = jnp.clip(jax.lax.stop_gradient((mean - moving_mean.value) / moving_sigma), -d_max, d_max)
        plain = count.value < self.warmup
        r, d = jnp.where(plain, 1.0, r), jnp.where(plain, 0.0, d)
        moving_mean.value += 0.01 * (mean - moving_mean.value)
        moving_variance.value += 0.01 * (variance - moving_variance.value)
        count.value += 1
        return gamma * ((x - mean) / sigma * r + d) + beta


class _Network(nn.Module):
    """Normalisation of the inputs, hidden layers (dense, ReLU, normalisation), and a dense output layer."""

    outputs: int
    limits: tuple[float, float]
    warmup: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = functools.partial(_Norm, self.limits, self.warmup)
        x = norm(name="batch_renorm_inputs")(x, train)
        for layer, width in enumerate(_WIDTHS):
            suffix = f"_{layer}" if layer else ""
            x = nn.relu(nn.Dense(width, name=f"linear{suffix}")(x))
            x = norm(name=f"batch_renorm{suffix}")(x, train)
        return nn.Dense(self.outputs, name=f"linear_{len(_WIDTHS)}")(x)


class _Fitted(NamedTuple):
    """Variables of a Flax network, and the first and second moments of its Adam."""

    params: Any
    stats: Any
    moments: Any


class _State(NamedTuple):
    """Training state of the Flax implementation."""

    critics: list[_Fitted]
    policy: _Fitted
    log_alpha: _Fitted
    key: jax.Array


def _train(network: _Network, params: Any, stats: Any, x: jax.Array) -> tuple[jax.Array, Any]:
    variables = {"params": params, "batch_stats": stats}
    output, changed = network.apply(variables, x, True, mutable=["batch_stats"])
    return output, changed["batch_stats"]


def _evaluate(network: _Network, fitted: _Fitted, x: jax.Array) -> Any:
    return network.apply({"params": fitted.params, "batch_stats": fitted.stats}, x, False)


def _draw(output: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean, log_deviation = output[:, :2], output[:, 2:]
    deviation = jnp.exp(jnp.clip(log_deviation, -20, 2))
    u = mean + deviation * jax.random.normal(key, mean.shape)
    # 1 - tanh(u)^2 = 1 / cosh(u)^2.
    log_slope = -2 * (jnp.logaddexp(u, -u) - jnp.log(2.0))
    log_prob = jax.scipy.stats.norm.logpdf(u, mean, deviation) - log_slope
    return jnp.tanh(u), log_prob.sum(axis=1)


class _Published(NamedTuple):
    """The critics' and the policy's half of an update, up to their gradients."""

    critic: _Network
    policy: _Network

    def critic_step(self, state: _State, batch: Transition) -> tuple[Any, Any]:
        """Computes the gradients and the new statistics of each critic."""
        key = jax.random.split(jax.random.wrap_key_data(state.key), 3)[1]
        now, then = batch.observation[:_NUM], batch.observation[_NUM:]
        action = (batch.action - _LOW) / (_HIGH - _LOW) * 2 - 1
        following, log_prob = _draw(_evaluate(self.policy, state.policy, then), key)
        joint = jnp.block([[now, action], [then, following]])

        def loss(params: Any) -> tuple[Any, Any]:
            passes = [
                _train(self.critic, own, critic.stats, joint)
                for own, critic in zip(params, state.critics, strict=True)
            ]
            least = jnp.minimum(passes[0][0][_NUM:, 0], passes[1][0][_NUM:, 0])
            soft = least - jnp.exp(state.log_alpha.params) * log_prob
            target = jax.lax.stop_gradient(batch.reward + 0.99 * batch.discount * soft)
            losses = [0.5 * jnp.mean((q[:_NUM, 0] - target) ** 2) for q, _ in passes]
            return losses[0] + losses[1], [stats for _, stats in passes]

        return jax.grad(loss, has_aux=True)([critic.params for critic in state.critics])

    def policy_step(self, state: _State, critics: list[_Fitted], batch: Transition) -> tuple[Any, Any, Any]:
        """Computes the policy's gradient and new statistics, and the gradient of log alpha."""
        key = jax.random.split(jax.random.wrap_key_data(state.key), 3)[2]
        now = batch.observation[:_NUM]

        def loss(params: Any) -> tuple[Any, Any]:
            output, stats = _train(self.policy, params, state.policy.stats, now)
            action, log_prob = _draw(output, key)
            inputs = jnp.concatenate([now, action], axis=1)
            q = [_evaluate(self.critic, critic, inputs)[:, 0] for critic in critics]
            alpha = jnp.exp(state.log_alpha.params)
            return jnp.mean(alpha * log_prob - jnp.minimum(*q)), (stats, -log_prob.mean())

        gradient, (stats, entropy) = jax.grad(loss, has_aux=True)(state.policy.params)
        # The gradient of log alpha * (entropy - target). The target is -1 nat for each of an action's two
        # numbers.
        return gradient, stats, entropy + 2.0


def _renamed(tree: Any) -> Any:
    """Renames our parameters, or a tree of their structure, to Flax's names."""
    names = {"w": "kernel", "b": "bias"}
    return {name: {names.get(key, key): leaf for key, leaf in layer.items()} for name, layer in tree.items()}


def _translated(state: learning.CrossQState) -> _State:
    """Converts a training state of ours to the Flax implementation's."""
    state = jax.device_get(state)

    def fitted(params: Any, stats: Any, optimiser: Any) -> _Fitted:
        moments = (_renamed(optimiser[0].mu), _renamed(optimiser[0].nu))
        return _Fitted(_renamed(params), _renamed(stats), moments)

    critics = fitted(state.critic_params, state.critic_stats, state.critic_optimiser)
    adam = state.temperature.optimiser[0]
    return _State(
        critics=[jax.tree.map(lambda leaf, i=i: leaf[i], critics) for i in range(2)],
        policy=fitted(state.policy_params, state.policy_stats, state.policy_optimiser),
        log_alpha=_Fitted(state.temperature.log_value, {}, (adam.mu, adam.nu)),
        key=state.key,
    )


def _assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Checks that all leaves are close, relative to the largest number in the expected ones."""
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale), actual, expected
    )


def _assert_stepped(
    before: _Fitted,
    after: _Fitted,
    gradient: Any,
    stats: Any,
    count: int,
    b1: float,
    tolerance: float = 1e-5,
) -> None:
    """Checks one step of Adam (Kingma and Ba 2015, algorithm 1) and the new statistics.

    Some gradients are zero except for rounding, such as that of a bias before a normalisation, and Adam makes
    a full step of them all the same. So the moments are compared with those of the expected gradient, but the
    parameters with those that follow from our own moments.
    """
    first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, before.moments[0], gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, before.moments[1], gradient)
    _assert_close(after.moments[0], first, tolerance)
    _assert_close(after.moments[1], second, tolerance)

    def move(parameter: np.ndarray, m: np.ndarray, v: np.ndarray) -> np.ndarray:
        return parameter - 1e-3 * (m / (1 - b1**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)

    moved = jax.tree.map(move, before.params, *after.moments)
    # A step is about 1e-3, so this tolerance is a thousandth of a step, and the rounding of the parameters.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-7, atol=1e-6), after.params, moved)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.stats, stats)


def _batch(seed: int) -> Transition:
    rng = np.random.default_rng(seed)
    now, then = (jnp.float32(rng.normal([0.5, 0, -1], [1, 0.3, 2], size=(_NUM, 3))) for _ in range(2))
    action = jnp.float32(rng.uniform(_LOW, _HIGH, size=(_NUM, 2)))
    discount = jnp.float32(rng.choice([0.0, 0.9, 1.0], size=_NUM))
    return join(now, action, jnp.float32(rng.normal(size=_NUM)), discount, then)


@pytest.mark.parametrize(
    ("settings", "limits"),
    [({"renorm_warmup": 1}, (3.0, 5.0)), ({"normalisation": "batch_norm", "renorm_warmup": 0}, (1.0, 0.0))],
    ids=["batch_renorm", "batch_norm"],
)
def test_six_updates_are_the_published_ones(settings: dict[str, Any], limits: tuple[float, float]) -> None:
    """Six updates of the critics, two of them with policy and temperature.

    Each update of the Flax implementation starts from the state that our previous one returned, so rounding
    errors do not add up.
    """
    config = CrossQConfig(critic_hidden_sizes=_WIDTHS, policy_hidden_sizes=_WIDTHS, **settings)
    core = make_core(make_networks(jnp.zeros((1, 3)), Bounds(_LOW, _HIGH), config), config)
    update, warmup = _jit(core.update), config.renorm_warmup
    published = _Published(_Network(1, limits, warmup), _Network(4, limits, warmup))
    critic_step, policy_step = _jit(published.critic_step), _jit(published.policy_step)
    state = _jit(core.init)(jax.random.key(0))
    for count in range(1, 7):
        batch, before = _batch(count), _translated(state)
        state, _ = update(state, batch)
        after = _translated(state)
        results = zip(*jax.device_get(critic_step(before, batch)), strict=True)
        for old, new, result in zip(before.critics, after.critics, results, strict=True):
            _assert_stepped(old, new, *result, count, 0.5)
        if count % 3 == 0:
            gradient, stats, of_alpha = jax.device_get(policy_step(before, after.critics, batch))
            _assert_stepped(before.policy, after.policy, gradient, stats, count // 3, 0.5)
            # The temperature's momentum is Adam's usual 0.9. Its tolerance is wider, because large log
            # densities from the tails cancel and leave a small gradient.
            _assert_stepped(before.log_alpha, after.log_alpha, of_alpha, {}, count // 3, 0.9, 5e-4)
        else:
            jax.tree.map(np.testing.assert_array_equal, after[1:3], before[1:3])
    assert int(after.critics[0].stats["batch_renorm"]["count"]) == 6
    assert int(after.policy.stats["batch_renorm"]["count"]) == 2
