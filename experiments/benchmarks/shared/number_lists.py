"""Parsing of flags that are lists of whole numbers."""

from __future__ import annotations

from absl import flags


def whole_numbers(name: str, least: int) -> list[int]:
    """Returns the numbers of a list flag.

    Raises:
      ValueError: the list is empty, or an element is not a whole number or is below `least`.
    """
    texts = getattr(flags.FLAGS, name)
    if not texts or not all(text.isdecimal() and int(text) >= least for text in texts):
        given = ",".join(texts)
        raise ValueError(
            f"--{name} takes whole numbers, {least} or more, with commas between, not {given!r}."
        )
    return [int(text) for text in texts]
