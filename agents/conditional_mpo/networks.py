"""Networks of conditional MPO: multilayer perceptrons with layer norm, told which member they are.

Statistics of a batch would mix members, so there are none: what comes out for an observation depends on
nothing else in the batch.

Dimensions: `U` observations, `A` actions (discrete) or numbers in an action (continuous), `Z` atoms,
`C` numbers of context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from agents.conditional_mpo.conditioning import member_of
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.core import Bounds, Observation
from agents.networks import check_bounds, flatten

# As in Acme's networks for control: uniform, of a third of the standard deviation that keeps variances; and
# so small that policies begin alike everywhere.
_HIDDEN = hk.initializers.UniformScaling(0.333)
_RECTIFIED = hk.initializers.VarianceScaling(2.0)
_NEARLY_ZERO = hk.initializers.VarianceScaling(1e-4)


class Network(NamedTuple):
    """A network whose inputs are known.

    Attributes:
      init: key -> params.
      apply: (params, inputs) -> `[U, outputs]`.
    """

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, Any], jax.Array]


class WithAction(NamedTuple):
    """Observations `[U, ..]` and actions `[.., U, A]` in [-1, 1]: one of each observation, or several."""

    observation: Any
    action: jax.Array


class MPONetworks(NamedTuple):
    """Conditional MPO's networks.

    Attributes:
      policy: of observations; to logits `[U, A]`, not masked, or to means and raw deviations side by side,
        `[U, 2 A]`.
      critic: of observations to `[U, A * Z]`; where actions are continuous, of `WithAction` to `[.., U, Z]`.
      value: V-MPO's critic, of observations to `[U, 1]`.
      bounds: of continuous actions; None where actions are discrete.
    """

    policy: Network
    critic: Network
    value: Network
    bounds: Bounds | None = None


def make_networks(example: Any, actions: int | Bounds, config: ConditionalMPOConfig) -> MPONetworks:
    """Networks for observations like `example`, with an axis of 1 in front.

    Args:
      example: an `Observation`, or any tree of arrays where the configuration asks for no context.
      actions: how many there are, or the bounds of continuous ones.

    Raises:
      ValueError: the example's context is not what the configuration asks for, or bounds that are not
        finite, or in the wrong order.
    """
    _check_context(example, config)

    def build(inputs: Any, sizes: tuple[int, ...], num_outputs: int, head: Any = _HIDDEN) -> Network:
        def network(inputs: Any) -> jax.Array:
            seen = (
                _see_with_action(inputs, config) if isinstance(inputs, WithAction) else _see(inputs, config)
            )
            torso = _rectified_torso if config.rectified else _smooth_torso
            return hk.Linear(num_outputs, w_init=head, name="head")(torso(seen, sizes))

        transformed: Any = hk.without_apply_rng(hk.transform(network))
        return Network(lambda key: transformed.init(key, inputs), transformed.apply)

    value = build(example, config.critic_hidden_sizes, 1)
    if not isinstance(actions, Bounds):
        policy = build(example, config.policy_hidden_sizes, actions, _NEARLY_ZERO)
        critic = build(example, config.critic_hidden_sizes, actions * config.num_atoms)
        return MPONetworks(policy, critic, value)
    bounds = check_bounds(actions)
    num = len(bounds.low)
    policy = build(example, config.policy_hidden_sizes, 2 * num, _NEARLY_ZERO)
    critic = build(WithAction(example, jnp.zeros((1, num))), config.critic_hidden_sizes, config.num_atoms)
    return MPONetworks(policy, critic, value, bounds)


class _Joined(hk.Module):
    """A linear layer of parts `[.., U, D_i]` side by side, which need not have the same leading axes.

    The first part's product is taken once, however many of the second stand against it.
    """

    def __init__(self, size: int, init: hk.initializers.Initializer) -> None:
        super().__init__(name="linear")
        self._size = size
        self._init = init

    def __call__(self, parts: tuple[jax.Array, ...]) -> jax.Array:
        ends = np.cumsum([part.shape[-1] for part in parts])
        weights = hk.get_parameter("w", (ends[-1], self._size), init=self._init)
        slices = jnp.split(weights, ends[:-1])
        products = [part @ rows for part, rows in zip(parts, slices, strict=True)]
        return sum(products, hk.get_parameter("b", (self._size,), init=jnp.zeros))


def _smooth_torso(parts: tuple[jax.Array, ...], sizes: tuple[int, ...]) -> jax.Array:
    """Layers as in Acme's networks for control: the first normalised and squashed, the others not."""
    if not sizes:
        return _side_by_side(parts)
    hidden = _Joined(sizes[0], _HIDDEN)(parts)
    hidden = jnp.tanh(hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(hidden))
    for size in sizes[1:]:
        hidden = jax.nn.elu(hk.Linear(size, w_init=_HIDDEN)(hidden))
    return hidden


def _rectified_torso(parts: tuple[jax.Array, ...], sizes: tuple[int, ...]) -> jax.Array:
    """Layers that are all normalised and rectified."""
    if not sizes:
        return _side_by_side(parts)
    hidden = _Joined(sizes[0], _RECTIFIED)(parts)
    for size in sizes[1:]:
        hidden = hk.Linear(size, w_init=_RECTIFIED)(_rectify(hidden))
    return _rectify(hidden)


def _rectify(hidden: jax.Array) -> jax.Array:
    return jax.nn.relu(hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(hidden))


def _side_by_side(parts: tuple[jax.Array, ...]) -> jax.Array:
    leading = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return jnp.concatenate([jnp.broadcast_to(part, (*leading, part.shape[-1])) for part in parts], axis=-1)


def _see_with_action(inputs: WithAction, config: ConditionalMPOConfig) -> tuple[jax.Array, ...]:
    return (*_see(inputs.observation, config), inputs.action)


def _see(inputs: Any, config: ConditionalMPOConfig) -> tuple[jax.Array]:
    """`[U, D]`: all numbers of observations, beside whose they are."""
    if config.num_members == 0 or not isinstance(inputs, Observation):
        return (flatten(inputs),)
    # About as long as a one-hot index, so that it does not drown what is observed.
    start = hk.initializers.RandomNormal(config.embedding_size**-0.5)
    embed = hk.Embed(config.num_members, config.embedding_size, w_init=start)
    embedding = embed(member_of(config, inputs.context))
    return (flatten((inputs.info_state, embedding, inputs.context[:, 1:])),)


def _check_context(example: Any, config: ConditionalMPOConfig) -> None:
    size = example.context.shape[-1] if isinstance(example, Observation) else 0
    if size != config.context_size:
        raise ValueError(
            f"observations come with {size} numbers of context, but num_members {config.num_members} and "
            f"mixture_size {config.mixture_size} ask for {config.context_size}: make them fit."
        )
