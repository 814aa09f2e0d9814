"""Arrays by name as the content of an `.npz` file, and a digest of them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np


def pack(arrays: Mapping[str, np.ndarray], *, compressed: bool = True) -> bytes:
    """Returns what `np.savez_compressed`, or `np.savez`, writes; equal arrays give equal bytes.

    NumPy's functions leave an open archive behind if Ctrl-C or SIGTERM interrupts them, which complains with
    a traceback when it is collected. They also pickle objects; arrays of objects are refused here.

    Args:
      arrays: the arrays by name.
      compressed: False for a larger file that is read and written faster.

    Raises:
      ValueError: an array holds objects.
    """
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, values in arrays.items():
            # The size of an array is not known before it is written, so its entry must have room for any.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(values), allow_pickle=False)
    return buffer.getvalue()


def digest(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 digest of JSON and of the arrays that belong to it, in hexadecimal digits."""
    content = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        # The same bytes mean something else with another type or shape, so these are part of the digest.
        content.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
