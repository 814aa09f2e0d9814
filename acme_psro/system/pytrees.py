"""Nested arrays as arrays by name, for checkpoints, without pickling their structure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def to_arrays(tree: Any) -> dict[str, np.ndarray]:
    """Returns the leaves of nested arrays by number, as `leaf_0`, `leaf_1` and so on."""
    import jax

    return {f"leaf_{index}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(tree))}


def from_arrays(example: Any, arrays: Mapping[str, np.ndarray], otherwise: str) -> Any:
    """Returns nested arrays from `to_arrays`, as arrays of JAX.

    Args:
      example: nested arrays of the same structure, or their shapes and types.
      arrays: by name; other arrays are ignored.
      otherwise: the message of the error.

    Raises:
      ValueError: the arrays do not have the structure, shapes and types of the example.
    """
    import jax
    import jax.numpy as jnp

    leaves, structure = jax.tree.flatten(example)
    found = [arrays.get(f"leaf_{index}") for index in range(len(leaves))]
    if f"leaf_{len(leaves)}" in arrays or any(
        array is None or (array.shape, array.dtype) != (leaf.shape, leaf.dtype)
        for array, leaf in zip(found, leaves, strict=True)
    ):
        raise ValueError(otherwise)
    return jax.tree.unflatten(structure, [jnp.asarray(array) for array in found])
