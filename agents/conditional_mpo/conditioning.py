"""Contexts: the inputs that select a member's policy in conditional MPO's network.

Dimensions: `M` members, `C` numbers of context: the member's index if `num_members` is above 0, and then the
mixture.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.conditional_mpo.config import ConditionalMPOConfig

# Mixtures may come from float32 arrays or from rounded decimals in a file, so their sums are not exactly 1.
_TOLERANCE = 1e-5


def make_contexts(config: ConditionalMPOConfig, members: Any, mixtures: Any | None = None) -> np.ndarray:
    """Makes the contexts `[M, C]` float32 of members.

    Args:
      config: the agent's configuration.
      members: `[M]` ints, indices of members; not in the context if the configuration has no members.
      mixtures: `[M, mixture_size]`, probabilities; None if the configuration has no mixtures.

    Raises:
      ValueError: members that the network does not know, or invalid mixtures.
    """
    index = np.asarray(members)
    if index.ndim != 1 or not (np.issubdtype(index.dtype, np.integer) or index.size == 0):
        raise ValueError(f"members must be a list of ints, not {index.dtype} of shape {index.shape}.")
    parts = [_checked_members(config, index)] if config.num_members > 0 else []
    parts.append(_checked_mixtures(config, mixtures, len(index)))
    # One float32 array holds indices too: whole numbers up to 2^24 are exact.
    return np.concatenate(parts, axis=1).astype(np.float32)


def member_of(config: ConditionalMPOConfig, context: jax.Array) -> jax.Array:
    """Returns the members `[..]` int32 of contexts `[.., C]`; zeros if the configuration has no members."""
    if config.num_members == 0:
        return jnp.zeros(context.shape[:-1], jnp.int32)
    return context[..., 0].astype(jnp.int32)


def _checked_members(config: ConditionalMPOConfig, index: np.ndarray) -> np.ndarray:
    """Returns indices `[M, 1]` of members, checked."""
    # Checked here, on the host, because a look-up inside jit does not report an index out of range.
    wrong = index[(index < 0) | (index >= config.num_members)]
    if wrong.size > 0:
        raise ValueError(
            f"more members than contexts: member {wrong[0]} is not among num_members {config.num_members}, "
            "counted from 0; raise num_members."
        )
    return index[:, None]


def _checked_mixtures(config: ConditionalMPOConfig, mixtures: Any | None, num: int) -> np.ndarray:
    """Returns mixtures `[M, mixture_size]`, checked."""
    size = config.mixture_size
    # A configuration without mixtures gets 0 columns, so that contexts always have `context_size` numbers.
    if mixtures is None:
        mixtures = np.zeros((num, 0))
    table = np.asarray(mixtures, np.float64)
    if table.shape != (num, size):
        raise ValueError(
            f"mixtures must have shape {(num, size)}, one row of mixture_size numbers a member, "
            f"not {table.shape}."
        )
    # Comparisons with NaN are false, so the negated form catches NaN too.
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
