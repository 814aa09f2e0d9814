"""Lists of whole numbers among the flags of benchmarks."""

from __future__ import annotations

from absl import flags


def whole_numbers(name: str, least: int) -> list[int]:
    """The numbers of a list flag.

    Raises:
      ValueError: there is none, one is no whole number, or one is below `least`.
    """
    texts = getattr(flags.FLAGS, name)
    if not texts or not all(text.isdecimal() and int(text) >= least for text in texts):
        given = ",".join(texts)
        raise ValueError(
            f"--{name} takes whole numbers, {least} or more, with commas between, not {given!r}."
        )
    return [int(text) for text in texts]
