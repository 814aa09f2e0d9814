"""A ring buffer inside compiled loops: written in place, sampled evenly.

Items are added in blocks of one size, of which the buffer holds a whole number. A block is therefore one
slice, which XLA writes in place in the carry of a scan; a scatter to computed indices would copy the whole
buffer every time. Positions are the same in every lane of a vmap, because they do not depend on anything that
differs between lanes.

Dimensions: `L` items in the buffer, `B` items in a block, `n` items in a sample.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Ring(NamedTuple):
    """State of a buffer.

    Attributes:
      items: arrays `[L, ..]`; those that have not been written yet are 0.
      position: `[]` int32, where the next block goes.
      held: `[]` int32, the number of items that have been written.
    """

    items: Any
    position: jax.Array
    held: jax.Array


def make_ring(example: Any, size: int, block: int) -> Ring:
    """Returns an empty buffer.

    Args:
      example: one item, arrays without the axis of items.
      size: the number of items to hold; rounded down to whole blocks.
      block: `B`.

    Raises:
      ValueError: not even one block fits.
    """
    if not 1 <= block <= size:
        raise ValueError(f"a buffer of {size} items holds no block of {block}.")
    whole = size // block * block
    items = jax.tree.map(lambda leaf: jnp.zeros((whole, *leaf.shape), leaf.dtype), example)
    return Ring(items, jnp.int32(0), jnp.int32(0))


def add(ring: Ring, block: Any) -> Ring:
    """Returns the buffer with a block of items `[B, ..]`, in the place of the oldest one if it is full."""

    def write(held: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(held, new.astype(held.dtype), ring.position, axis=0)

    length, new = _length(ring.items), _length(block)
    items = jax.tree.map(write, ring.items, block)
    return Ring(items, (ring.position + new) % length, jnp.minimum(ring.held + new, length))


def sample(ring: Ring, key: jax.Array, num: int) -> Any:
    """Returns `[n, ..]`: items drawn evenly and with replacement from a buffer that is not empty."""
    index = jax.random.randint(key, (num,), 0, ring.held)
    return jax.tree.map(lambda leaf: leaf[index], ring.items)


def _length(items: Any) -> int:
    return int(jax.tree.leaves(items)[0].shape[0])
