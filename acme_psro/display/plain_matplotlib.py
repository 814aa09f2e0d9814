"""Matplotlib with its own defaults, whatever the environment and the user's configuration say."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

_BACKEND = "MPLBACKEND"


@contextlib.contextmanager
def plain_matplotlib(style: Mapping[str, object] | None = None) -> Iterator[None]:
    """Context manager in which figures are drawn with Matplotlib's defaults, changed by a style.

    Without it, a user's file could for example ask for LaTeX, which may not be installed.

    Args:
      style: values by name of Matplotlib's settings.
    """
    load_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style or {})  # type: ignore[arg-type]
        yield


def load_matplotlib() -> None:
    """Imports Matplotlib, even if the environment names a backend that cannot be used here.

    Jupyter exports the name of its own backend to every program that a notebook starts, and Matplotlib's
    import fails if such a backend is not installed. Our figures need none. A backend that exists is set as
    usual, because a notebook that imports this package relies on it.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop(_BACKEND, None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ[_BACKEND] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
