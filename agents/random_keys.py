"""Random keys in training states, which keep them as raw numbers so that checkpoints can hold them."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from agents.core import Key


def to_raw(key: Key) -> jax.Array:
    """Returns a key, typed or raw, as raw data: `[2]` uint32 with JAX's default generator."""
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(key)
    return key


def split(raw_key: jax.Array, num: int) -> tuple[jax.Array, list[Key]]:
    """Splits the raw key of a training state for one update.

    Args:
      raw_key: `[2]` uint32, as `to_raw` returns it.
      num: number of keys that the update needs.

    Returns:
      The raw key of the next update, and `num` typed keys for this one. All are independent of each other.
    """
    chex.assert_rank(raw_key, 1)
    next_key, *keys = jax.random.split(jax.random.wrap_key_data(raw_key), num + 1)
    return jax.random.key_data(next_key), keys
