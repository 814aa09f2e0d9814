"""Errors of environments."""

from __future__ import annotations


class NonFiniteError(RuntimeError):
    """An action, reward or observation of an environment is NaN or infinite."""
