"""Tests of acme_psro.oracles.on_ray.parcels: bytes in are bytes out, or an error."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.oracles.on_ray import parcels


class _Pair(NamedTuple):
    left: Any
    right: Any


def test_nested_arrays_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    sent = _Pair(
        {"table": rng.normal(size=(2, 3)).astype(np.float32), "flags": rng.random(4) < 0.5, "none": None},
        (jnp.arange(12, dtype=jnp.int16).reshape(3, 4), np.zeros((0, 2)), np.float32(np.nan)),
    )
    found = parcels.unpack(parcels.pack(sent))
    assert jax.tree.structure(found) == jax.tree.structure(sent)
    assert isinstance(found, _Pair)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(sent), strict=True):
        assert isinstance(left, np.ndarray)
        assert (left.dtype, left.shape) == (np.asarray(right).dtype, np.shape(right))
        assert left.tobytes() == np.asarray(right).tobytes()
    # Nothing but numbers is left of the arrays in what is not in the content.
    assert jax.tree.leaves(parcels.pack(sent).structure) == list(range(5))


def test_equal_arrays_have_equal_bytes() -> None:
    assert parcels.pack([np.ones(3, np.float32)]) == parcels.pack([jnp.ones(3)])


@pytest.mark.parametrize("place", [0, 60, -1])
def test_altered_bytes_are_refused(place: int) -> None:
    parcel = parcels.pack(_Pair(np.ones(3), np.zeros(2)))
    altered = bytearray(parcel.content)
    altered[place] ^= 1
    with pytest.raises(ValueError, match=r"^arrays were altered on their way [^\n]*$"):
        parcels.unpack(parcel._replace(content=bytes(altered)))


def test_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        parcels.pack([np.array([object()])])
