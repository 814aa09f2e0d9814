"""Nested arrays as parcels: their structure, their bytes and a digest of these.

The bytes are those of an `.npz` file, in which no Python object can be.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any, NamedTuple

import numpy as np

from acme_psro.system import archives, pytrees


class Parcel(NamedTuple):
    """Nested arrays on their way.

    Attributes:
      structure: the same nesting, with a number in place of each array.
      content: the arrays by number, as an `.npz` file.
      sha256: the digest of the content.
    """

    structure: Any
    content: bytes
    sha256: str


def pack(nested: Any) -> Parcel:
    """Returns nested arrays as a parcel; those on a device are copied."""
    import jax

    leaves, structure = jax.tree.flatten(nested)
    content = archives.pack(pytrees.to_arrays(leaves), compressed=False)
    numbered = jax.tree.unflatten(structure, list(range(len(leaves))))
    return Parcel(numbered, content, hashlib.sha256(content).hexdigest())


def unpack(parcel: Parcel) -> Any:
    """Returns the nested arrays of a parcel, as NumPy's.

    Raises:
      ValueError: the content was altered on its way.
    """
    import jax

    if hashlib.sha256(parcel.content).hexdigest() != parcel.sha256:
        raise ValueError("arrays were altered on their way between two machines: run again, with --resume.")
    with np.load(io.BytesIO(parcel.content), allow_pickle=False) as stored:
        arrays = dict(stored)
    return jax.tree.map(lambda number: arrays[f"leaf_{number}"], parcel.structure)
