"""Conversion between an environment's arrays and an agent's: specs in, functions out.

Dimensions: `B` batch, `D` numbers of an observation, `A` actions (discrete) or numbers in an action
(continuous), `C` numbers of context; `S` sequences of `T` decisions.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tree
from dm_env import specs

from agents.core import Action, Bounds, Observation, Transition, join


@dataclasses.dataclass(frozen=True)
class Interface:
    """Functions between an environment and an agent. All take batches and run inside jit.

    Attributes:
      example: an observation as the agent sees it, with a leading axis of size 1.
      num_actions: `A`, the number of discrete actions, or of numbers in a continuous action.
      bounds: the bounds of continuous actions; None if actions are discrete.
      to_observation: converts observations to the agent's: an `Observation` if actions are discrete, or if
        observations have a context; otherwise `[B, D]` float32.
      to_action: converts the agent's actions to the environment's shape and type.
      to_transition: converts an `acme.types.Transition` to the agent's.
      to_sequence: converts an `acme.adders.reverb.Step` of sequences `[S, T + 1, ..]`, as
        `agents.acme_layer.replay` keeps them, to the agent's transition of `S * T` decisions in order.
        Padding has weight 0.
    """

    example: Any
    num_actions: int
    bounds: Bounds | None
    to_observation: Callable[[Any], Any]
    to_action: Callable[[Action], Action]
    to_transition: Callable[[Any], Transition]
    to_sequence: Callable[[Any], Transition]


def make_interface(environment_spec: Any) -> Interface:
    """Binds the functions of `Interface` to an environment.

    Legal actions are taken from observations that have a field `legal_actions`, as `agents.core.Observation`
    and Acme's `OLT` have; otherwise all are legal. Contexts are taken from a field `context`, if a field
    `info_state` or `observation` holds the rest of the observation; otherwise they are empty.

    Args:
      environment_spec: an `acme.specs.EnvironmentSpec`.

    Raises:
      ValueError: no agent here can handle the actions, rewards, discounts or legal actions.
    """
    actions = environment_spec.actions
    for name in ("rewards", "discounts"):
        spec = getattr(environment_spec, name)
        if not isinstance(spec, specs.Array) or spec.shape:
            raise ValueError(f"{name} must be one number for each step, not {spec}: wrap the environment.")
    bounds = None if isinstance(actions, specs.DiscreteArray) else _bounds(actions)
    num_actions = int(actions.num_values) if bounds is None else len(bounds.low)
    to_observation: Callable[[Any], Any] = _flatten
    # Agents with discrete actions always get an `Observation`, for its legal actions. Agents with continuous
    # actions get one only if it has to carry a context.
    if bounds is None:
        _check_legal_actions(environment_spec.observations, num_actions)
        to_observation = functools.partial(_observe, num_actions)
    elif _has_context(environment_spec.observations):
        # The mask is empty, because every continuous action within the bounds is legal.
        to_observation = functools.partial(_observe, 0)
    _check_dtype(actions)
    # A batch of one observation of zeros, from which networks learn the shapes of their inputs.
    nothing = tree.map_structure(
        lambda spec: np.zeros((1, *spec.shape), spec.dtype), environment_spec.observations
    )
    return Interface(
        example=to_observation(nothing),
        num_actions=num_actions,
        bounds=bounds,
        to_observation=to_observation,
        to_action=lambda action: action.reshape((-1, *actions.shape)).astype(actions.dtype),
        to_transition=functools.partial(_to_transition, to_observation, bounds is None),
        to_sequence=functools.partial(_to_sequence, to_observation, bounds is None),
    )


def _bounds(spec: Any) -> Bounds:
    """Returns the bounds of continuous actions.

    Raises:
      ValueError: the actions are not continuous within finite bounds.
    """
    if not isinstance(spec, specs.Array) or not np.issubdtype(spec.dtype, np.floating):
        raise ValueError(f"actions must be one DiscreteArray or one BoundedArray of floats, not {spec}.")
    # A plain Array has no bounds. It gets infinite ones, so that one check refuses both.
    unbounded = (np.full(spec.shape, -np.inf), np.full(spec.shape, np.inf))
    sides = (spec.minimum, spec.maximum) if isinstance(spec, specs.BoundedArray) else unbounded
    low, high = (np.broadcast_to(side, spec.shape).astype(np.float32).reshape(-1) for side in sides)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(
            f"the action spec {spec} has no finite bounds: wrap the environment in one whose action_spec is "
            "a BoundedArray with finite bounds."
        )
    return Bounds(jnp.asarray(low), jnp.asarray(high))


def _check_dtype(spec: specs.Array) -> None:
    """Raises ValueError if JAX would round actions of this type, as it does with 64 bits by default."""
    if jax.dtypes.canonicalize_dtype(spec.dtype) != spec.dtype:
        raise ValueError(
            f"actions of type {spec.dtype} have more digits than JAX computes with: wrap the environment in "
            "acme.wrappers.SinglePrecisionWrapper."
        )


def _check_legal_actions(observations: Any, num_actions: int) -> None:
    """Raises ValueError if the mask of legal actions does not fit the number of actions."""
    spec = getattr(observations, "legal_actions", None)
    if spec is not None and spec.shape != (num_actions,):
        raise ValueError(
            f"legal_actions must have the shape ({num_actions},) of the actions, not {spec.shape}."
        )


def _observe(num_actions: int, observation: Any) -> Observation:
    """Converts an `Observation`, Acme's `OLT`, or any other arrays (all actions legal) to an `Observation`.

    Fields are recognised by name, because Reverb keeps the names of the fields but not their types.
    """
    has_parts = hasattr(observation, "legal_actions") or _has_context(observation)
    info_state = _flatten(_information_state(observation) if has_parts else observation)
    if hasattr(observation, "legal_actions"):
        legal_actions = jnp.asarray(observation.legal_actions) != 0
    else:
        legal_actions = jnp.ones((info_state.shape[0], num_actions), bool)
    if _has_context(observation):
        context = jnp.asarray(observation.context, jnp.float32)
    else:
        context = jnp.zeros((info_state.shape[0], 0))
    return Observation(info_state, legal_actions, context)


def _has_context(observation: Any) -> bool:
    """Returns True if the observation has a context apart from the rest, not only a field of that name."""
    # Without a field for the rest, "context" is one of the environment's own names for part of what it shows.
    return hasattr(observation, "context") and _information_state(observation) is not None


def _information_state(observation: Any) -> Any:
    """Returns the observation without legal actions and context; None if no field is known to hold it.

    Our own `Observation` and environments that imitate it have a field `info_state`. Acme's `OLT` has a field
    `observation`, and so may observations of continuous control that come with a context.
    """
    info_state = getattr(observation, "info_state", None)
    return getattr(observation, "observation", None) if info_state is None else info_state


def _flatten(observation: Any) -> jax.Array:
    """Returns all numbers of a tree of arrays as `[B, D]` float32, with mappings in the order of sorted keys.

    The order of insertion, which JAX keeps for ordered mappings, does not survive Reverb.
    """
    rows = [jnp.asarray(leaf, jnp.float32) for leaf in tree.flatten(observation)]
    return jnp.concatenate([leaf.reshape(leaf.shape[0], math.prod(leaf.shape[1:])) for leaf in rows], axis=-1)


def _to_transition(to_observation: Callable[[Any], Any], is_discrete: bool, transition: Any) -> Transition:
    """Converts a batch of Acme's transitions; every observation gets a row of its own."""
    joined = join(
        to_observation(transition.observation),
        _read_actions(is_discrete, transition.action),
        jnp.asarray(transition.reward, jnp.float32),
        jnp.asarray(transition.discount, jnp.float32),
        to_observation(transition.next_observation),
    )
    return joined._replace(drawn=_read_drawn(transition.extras))


def _to_sequence(to_observation: Callable[[Any], Any], is_discrete: bool, steps: Any) -> Transition:
    """Converts sequences to decisions, and keeps the rows of observations in order.

    The last row of a sequence is only a next observation.
    """
    num_sequences, num_rows = steps.reward.shape
    rows = jnp.arange(num_sequences * num_rows).reshape(num_sequences, num_rows)
    is_decision = jnp.asarray(steps.extras["is_decision"], bool)
    # The decision after a sequence's last one is not in the batch, or belongs to another sequence.
    has_next = jnp.arange(num_rows - 1) < num_rows - 2

    def decisions(leaf: Any) -> jax.Array:
        """Returns `[S * T, ..]`, all rows `[S, T + 1, ..]` but the last of each sequence."""
        return _merge(jnp.asarray(leaf)[:, :-1])

    return Transition(
        observation=to_observation(tree.map_structure(_merge, steps.observation)),
        now=decisions(rows),
        # The next row is in the same sequence, because the last row of a sequence is no decision.
        then=decisions(rows) + 1,
        action=_read_actions(is_discrete, decisions(steps.action)),
        reward=decisions(steps.reward).astype(jnp.float32),
        discount=decisions(steps.discount).astype(jnp.float32),
        # Padding at the end of a short sequence keeps its rows, so that shapes are fixed, but counts nothing.
        weight=decisions(is_decision).astype(jnp.float32),
        log_prob=decisions(steps.extras["log_prob"]).astype(jnp.float32),
        continues=_merge(is_decision[:, :-1] & is_decision[:, 1:] & has_next),
        drawn=_read_drawn(tree.map_structure(decisions, steps.extras)),
    )


def _read_actions(is_discrete: bool, action: Any) -> jax.Array:
    """Returns actions as `[B]` int32, or `[B, A]` float32."""
    action = jnp.asarray(action)
    return action.astype(jnp.int32) if is_discrete else action.reshape(len(action), -1).astype(jnp.float32)


def _read_drawn(extras: Any) -> jax.Array | None:
    """Returns actions before they were clipped, `[B, A]` float32, or None if they were not recorded."""
    if not isinstance(extras, Mapping) or "drawn" not in extras:
        return None
    drawn = jnp.asarray(extras["drawn"], jnp.float32)
    return drawn.reshape(len(drawn), -1)


def _merge(leaf: Any) -> jax.Array:
    """Reshapes `[S, T, ..]` to `[S * T, ..]`."""
    leaf = jnp.asarray(leaf)
    return leaf.reshape((leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]))
