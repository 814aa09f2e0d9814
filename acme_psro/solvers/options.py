"""Checks of meta-solvers' options."""

from __future__ import annotations


def check_count(solver: str, option: str, value: int | None) -> None:
    """Checks a number of rounds, policies or pivots; None, for a default, is one.

    Args:
      solver: the meta-solver's name.
      option: the option's name.
      value: what it is set to.

    Raises:
      ValueError: it is below 1.
    """
    if value is not None and value < 1:
        raise ValueError(f"{solver}: {option} is {value}; give 1 or more")
