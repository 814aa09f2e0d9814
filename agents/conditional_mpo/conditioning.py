"""Contexts: what tells conditional MPO's network which policy to be.

Dimensions: `M` members, `C` numbers of context, of which the member's index comes first, if members are told
apart, and the mixture after it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.conditional_mpo.config import ConditionalMPOConfig

_TOLERANCE = 1e-5


def make_contexts(config: ConditionalMPOConfig, members: Any, mixtures: Any | None = None) -> np.ndarray:
    """`[M, C]` float32: the context of each member.

    Args:
      members: `[M]` ints; not seen by the network where the configuration has no members.
      mixtures: `[M, mixture_size]`, probabilities; None where the configuration has no mixtures.

    Raises:
      ValueError: members that the network does not know, or mixtures that are none.
    """
    index = np.asarray(members)
    if index.ndim != 1 or not (np.issubdtype(index.dtype, np.integer) or index.size == 0):
        raise ValueError(f"members must be a list of ints, not {index.dtype} of shape {index.shape}.")
    parts = [_checked_members(config, index)] if config.num_members > 0 else []
    parts.append(_checked_mixtures(config, mixtures, len(index)))
    return np.concatenate(parts, axis=1).astype(np.float32)


def member_of(config: ConditionalMPOConfig, context: jax.Array) -> jax.Array:
    """`[..]` int32: the index in contexts `[.., C]`; zeros where the configuration has no members."""
    if config.num_members == 0:
        return jnp.zeros(context.shape[:-1], jnp.int32)
    return context[..., 0].astype(jnp.int32)


def _checked_members(config: ConditionalMPOConfig, index: np.ndarray) -> np.ndarray:
    """`[M, 1]`."""
    wrong = index[(index < 0) | (index >= config.num_members)]
    if wrong.size > 0:
        raise ValueError(
            f"more members than contexts: member {wrong[0]} is not among num_members {config.num_members}, "
            "counted from 0; raise num_members."
        )
    return index[:, None]


def _checked_mixtures(config: ConditionalMPOConfig, mixtures: Any | None, num: int) -> np.ndarray:
    """`[M, mixture_size]`."""
    size = config.mixture_size
    if mixtures is None:
        mixtures = np.zeros((num, 0))
    table = np.asarray(mixtures, np.float64)
    if table.shape != (num, size):
        raise ValueError(
            f"mixtures must have shape {(num, size)}, one row of mixture_size numbers a member, "
            f"not {table.shape}."
        )
    # Written so that NaN is caught.
    wrong = ~(table >= 0).all(axis=1)
    if wrong.any():
        raise ValueError(f"the mixture of row {wrong.argmax()} has numbers that are negative or NaN.")
    sums = table.sum(axis=1)
    wrong = ~(np.abs(sums - 1) <= _TOLERANCE)
    if size > 0 and wrong.any():
        raise ValueError(
            f"the mixture of row {wrong.argmax()} sums to {sums[wrong.argmax()]:.6g}, not to 1: normalise it."
        )
    return table
