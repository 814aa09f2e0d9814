"""Tests of agents.random_keys: typed and raw keys, and the keys of one update."""

import jax
import numpy as np
import pytest

from agents import random_keys


def test_typed_and_raw_keys_of_one_seed_give_the_same_raw_key() -> None:
    raw = jax.random.PRNGKey(3)
    assert (raw.shape, raw.dtype) == ((2,), np.uint32)
    np.testing.assert_array_equal(random_keys.to_raw(raw), raw)
    np.testing.assert_array_equal(random_keys.to_raw(jax.random.key(3)), raw)


@pytest.mark.parametrize("num", [1, 2])
def test_a_split_gives_the_keys_that_jax_gives_and_the_first_is_kept(num: int) -> None:
    expected = jax.random.key_data(jax.random.split(jax.random.key(3), num + 1))
    following, keys = random_keys.split(jax.random.PRNGKey(3), num)
    np.testing.assert_array_equal(following, expected[0])
    assert len(keys) == num
    assert all(jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) for key in keys)
    np.testing.assert_array_equal([jax.random.key_data(key) for key in keys], expected[1:])
    assert len(np.unique(expected, axis=0)) == num + 1
