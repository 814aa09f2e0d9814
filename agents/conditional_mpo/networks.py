"""Networks of conditional MPO: multilayer perceptrons with layer norm, conditioned on the member's context.

Statistics of a batch would mix members, so there are none: the output for an observation does not depend on
the rest of the batch.

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

# As in Acme's networks for control. Hidden layers are uniform with a third of the standard deviation that
# keeps variances. A policy's head is so small that its first output hardly depends on the observation.
_HIDDEN = hk.initializers.UniformScaling(0.333)
_RECTIFIED = hk.initializers.VarianceScaling(2.0)
_NEARLY_ZERO = hk.initializers.VarianceScaling(1e-4)


class Network(NamedTuple):
    """A network for inputs of known shapes.

    Attributes:
      init: key -> params.
      apply: (params, inputs) -> `[U, outputs]`.
    """

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, Any], jax.Array]


class WithAction(NamedTuple):
    """Observations `[U, ..]`, and one or several actions `[.., U, A]` in [-1, 1] for each observation."""

    observation: Any
    action: jax.Array


class MPONetworks(NamedTuple):
    """Conditional MPO's networks.

    Attributes:
      policy: observations -> logits `[U, A]`, not masked; or `[U, 2 A]`, means and raw deviations, if actions
        are continuous.
      critic: observations -> `[U, A * Z]`; or `WithAction` -> `[.., U, Z]` if actions are continuous.
      value: V-MPO's critic, observations -> `[U, 1]`.
      bounds: bounds of continuous actions; None if actions are discrete.
    """

    policy: Network
    critic: Network
    value: Network
    bounds: Bounds | None = None


def make_networks(example: Any, actions: int | Bounds, config: ConditionalMPOConfig) -> MPONetworks:
    """Makes networks for observations like `example`.

    Args:
      example: an observation with a leading axis of 1: an `Observation`, or any tree of arrays if the
        configuration has no context.
      actions: number of discrete actions, or the bounds of continuous ones.
      config: the agent's configuration.

    Raises:
      ValueError: the example's context does not have the configuration's size, or bounds are not finite or
        in the wrong order.
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

    # Only the networks that an agent initialises get parameters: MPO has no use for the value, V-MPO none for
    # the critic.
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
    """Linear layer of concatenated parts `[.., U, D_i]` whose leading axes may differ.

    Each part has its own matrix product, so an observation's product is computed once for all of its actions.
    """

    def __init__(self, size: int, init: hk.initializers.Initializer) -> None:
        super().__init__(name="linear")
        self._size = size
        self._init = init

    def __call__(self, parts: tuple[jax.Array, ...]) -> jax.Array:
        # One matrix for all parts, with the names and the fan-in of `hk.Linear` on the concatenated inputs.
        ends = np.cumsum([part.shape[-1] for part in parts])
        weights = hk.get_parameter("w", (ends[-1], self._size), init=self._init)
        slices = jnp.split(weights, ends[:-1])
        products = [part @ rows for part, rows in zip(parts, slices, strict=True)]
        return sum(products, hk.get_parameter("b", (self._size,), init=jnp.zeros))


def _smooth_torso(parts: tuple[jax.Array, ...], sizes: tuple[int, ...]) -> jax.Array:
    """Applies layers as in Acme's networks for control: layer norm and tanh first, then ELU alone."""
    if not sizes:
        return _side_by_side(parts)
    hidden = _Joined(sizes[0], _HIDDEN)(parts)
    hidden = jnp.tanh(hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(hidden))
    for size in sizes[1:]:
        hidden = jax.nn.elu(hk.Linear(size, w_init=_HIDDEN)(hidden))
    return hidden


def _rectified_torso(parts: tuple[jax.Array, ...], sizes: tuple[int, ...]) -> jax.Array:
    """Applies layers that all have layer norm and ReLU."""
    if not sizes:
        return _side_by_side(parts)
    hidden = _Joined(sizes[0], _RECTIFIED)(parts)
    for size in sizes[1:]:
        hidden = hk.Linear(size, w_init=_RECTIFIED)(_rectify(hidden))
    return _rectify(hidden)


def _rectify(hidden: jax.Array) -> jax.Array:
    """Applies layer norm and then ReLU."""
    return jax.nn.relu(hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(hidden))


def _side_by_side(parts: tuple[jax.Array, ...]) -> jax.Array:
    """Concatenates parts `[.., U, D_i]` whose leading axes may differ, for a torso without layers."""
    leading = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return jnp.concatenate([jnp.broadcast_to(part, (*leading, part.shape[-1])) for part in parts], axis=-1)


def _see_with_action(inputs: WithAction, config: ConditionalMPOConfig) -> tuple[jax.Array, ...]:
    """Returns the inputs of a critic of continuous actions: observations `[U, D]`, actions `[.., U, A]`."""
    # They stay apart, because the observations may have fewer axes than their sampled actions.
    return (*_see(inputs.observation, config), inputs.action)


def _see(inputs: Any, config: ConditionalMPOConfig) -> tuple[jax.Array]:
    """Returns the inputs `[U, D]`: flat observations, with the member's embedding if there are members."""
    if config.num_members == 0 or not isinstance(inputs, Observation):
        return (flatten(inputs),)
    # The embedding's norm is about 1, like a one-hot index's, so that it does not dominate the observation.
    start = hk.initializers.RandomNormal(config.embedding_size**-0.5)
    embed = hk.Embed(config.num_members, config.embedding_size, w_init=start)
    # The embedding replaces the index, which as a number would rank the members.
    embedding = embed(member_of(config, inputs.context))
    return (flatten((inputs.info_state, embedding, inputs.context[:, 1:])),)


def _check_context(example: Any, config: ConditionalMPOConfig) -> None:
    """Raises ValueError if the example's context does not have the configuration's size."""
    size = example.context.shape[-1] if isinstance(example, Observation) else 0
    if size != config.context_size:
        raise ValueError(
            f"observations come with {size} numbers of context, but num_members {config.num_members} and "
            f"mixture_size {config.mixture_size} ask for {config.context_size}: make them fit."
        )
