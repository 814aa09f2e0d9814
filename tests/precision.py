"""Double precision, under the name that each version of JAX has for it."""

from __future__ import annotations

import contextlib

import jax


def double_precision() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which JAX computes in double precision."""
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    return enable(True)
