"""The ring buffer: what it holds, what is drawn from it, and that it is written in place."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.oracles.device.ring import Ring, add, make_ring, sample


class _Item(NamedTuple):
    """An item of two types and ranks."""

    number: jax.Array
    pair: jax.Array


_EXAMPLE = _Item(jnp.int32(0), jnp.zeros(2, jnp.float32))


def _block(first: int, num: int = 3) -> _Item:
    """Items numbered from `first` on, whose pairs say the number too."""
    number = first + jnp.arange(num)
    return _Item(number, jnp.stack([number, -number], axis=1).astype(jnp.float32))


def _filled(size: int, blocks: int) -> Ring:
    ring = make_ring(_EXAMPLE, size, 3)
    for k in range(blocks):
        ring = jax.jit(add)(ring, _block(1 + 3 * k))
    return ring


@pytest.mark.parametrize(
    ("blocks", "held"),
    [
        (1, {1, 2, 3}),
        (2, {1, 2, 3, 4, 5, 6}),
        (3, {1, 2, 3, 4, 5, 6, 7, 8, 9}),
        # Ten items fit, but they are three blocks of three: the oldest block gives way.
        (4, {4, 5, 6, 7, 8, 9, 10, 11, 12}),
        (5, {7, 8, 9, 10, 11, 12, 13, 14, 15}),
    ],
)
def test_the_newest_items_are_held_and_drawn_evenly(blocks: int, held: set[int]) -> None:
    drawn = sample(_filled(10, blocks), jax.random.key(blocks), 9000)
    numbers, counts = np.unique(np.asarray(drawn.number), return_counts=True)
    assert set(numbers.tolist()) == held
    # Five standard deviations of a count.
    np.testing.assert_allclose(counts, 9000 / len(held), atol=5 * np.sqrt(9000 / len(held)))
    np.testing.assert_array_equal(drawn.pair[:, 0], drawn.number)
    np.testing.assert_array_equal(drawn.pair[:, 1], -drawn.number)


def test_types_are_the_examples() -> None:
    ring = add(make_ring(_EXAMPLE, 3, 3), _block(0)._replace(number=jnp.arange(3.0)))
    assert (ring.items.number.dtype, ring.items.pair.dtype) == (jnp.int32, jnp.float32)


@pytest.mark.parametrize(("size", "block"), [(2, 3), (3, 0)])
def test_a_buffer_without_room_is_refused(size: int, block: int) -> None:
    with pytest.raises(ValueError, match=f"{size} items holds no block of {block}"):
        make_ring(_EXAMPLE, size, block)


def test_lanes_of_a_scan_are_written_in_place() -> None:
    """Nothing inside the compiled loop copies the whole buffer."""
    size = 12_345 * 3

    def fill(first: jax.Array) -> jax.Array:
        def go_on(ring: Ring, key: jax.Array) -> tuple[Ring, jax.Array]:
            ring = add(ring, jax.tree.map(lambda leaf: leaf + first.astype(leaf.dtype), _block(1)))
            return ring, sample(ring, key, 2).number

        return jax.lax.scan(go_on, make_ring(_EXAMPLE, size, 3), jax.random.split(jax.random.key(0), 7))[1]

    compiled = jax.jit(jax.vmap(fill)).lower(jnp.arange(2)).compile()
    lines = compiled.as_text().splitlines()
    copied = [
        line for line in lines if " copy(" in line and str(size) in line.split("=")[1].split("copy(")[0]
    ]
    # Two fields, each made once before the loop.
    assert len(copied) <= 2, copied
    np.testing.assert_array_equal(compiled(jnp.arange(2))[0, 0] <= 3, True)
