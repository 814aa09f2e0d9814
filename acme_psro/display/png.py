"""Figures of a report as PNG images, for viewers that show no SVG."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 100
# Properties of Matplotlib's artists that hold one colour, or one for each part.
_COLOURS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")

_images: ContextVar[dict[str, bytes] | None] = ContextVar("images", default=None)


@contextlib.contextmanager
def collecting_images() -> Iterator[dict[str, bytes]]:
    """Context manager in which each figure that is rendered for a page is kept as a PNG image, too.

    Yields:
      The images by the figures' names, in the order in which they are drawn.
    """
    images: dict[str, bytes] = {}
    token = _images.set(images)
    try:
        yield images
    finally:
        _images.reset(token)


def collect_image(name: str, figure: Figure, colours: Mapping[str, str]) -> None:
    """Keeps a figure as a PNG image, if images are collected. Changes the figure's colours.

    Args:
      name: the figure's name.
      figure: the figure, completely drawn.
      colours: for each colour that stands for another, both as `#rrggbb`, the one to show.
    """
    images = _images.get()
    if images is None:
        return
    _recolour(figure, colours)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    images[name] = buffer.getvalue()


def _recolour(figure: Figure, colours: Mapping[str, str]) -> None:
    """Replaces colours in all artists of a figure."""
    from matplotlib.colors import to_hex

    artist: Any
    for artist in figure.findobj():
        for name in _COLOURS:
            if not hasattr(artist, f"get_{name}") or not hasattr(artist, f"set_{name}"):
                continue
            old = getattr(artist, f"get_{name}")()
            # A collection has an array with a row for each part; ours have one colour each.
            first = old[0] if getattr(old, "ndim", 1) == 2 and len(old) else old
            with contextlib.suppress(ValueError):
                new = colours.get(to_hex(first))
                if new is not None:
                    getattr(artist, f"set_{name}")(new)
