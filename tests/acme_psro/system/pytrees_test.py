"""Nested arrays become arrays by name, and come back only if they fit."""

from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.system import pytrees

TREE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": (np.int32(4), np.array([True, False]))}


def test_nested_arrays_come_back_as_they_were() -> None:
    arrays = pytrees.to_arrays(TREE)
    assert sorted(arrays) == ["leaf_0", "leaf_1", "leaf_2"]
    again = pytrees.from_arrays(TREE, {**arrays, "other": np.zeros(2)}, "no")
    assert jax.tree.structure(again) == jax.tree.structure(TREE)
    jax.tree.map(np.testing.assert_array_equal, again, TREE)


@pytest.mark.parametrize(
    "change",
    [
        {"leaf_0": np.zeros((3, 2), np.float32)},
        {"leaf_1": np.float32(4)},
        {"leaf_3": np.zeros(1)},
        {"leaf_2": None},
    ],
)
def test_arrays_of_something_else_are_refused(change: dict[str, Any]) -> None:
    arrays = {**pytrees.to_arrays(TREE), **change}
    with pytest.raises(ValueError, match="of something else"):
        pytrees.from_arrays(
            TREE, {name: each for name, each in arrays.items() if each is not None}, "of something else"
        )
