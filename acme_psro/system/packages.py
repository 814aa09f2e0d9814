"""Checks that Python finds this project's own top-level packages and not others of the same name."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.abc import InspectLoader
from pathlib import Path


def put_started_directory_last(root: Path) -> None:
    """Moves the current directory to the end of `sys.path` if `python -m` is starting a module of ours.

    `python -m` puts the current directory first, so that folders in it hide installed packages of the same
    names. If our packages are installed elsewhere, nothing of ours is in the current directory.

    Args:
      root: the directory that our packages are in.
    """
    # Python's documented mark that the module to start is being looked for.
    if sys.argv[:1] != ["-m"] or not sys.path:
        return
    first = Path(sys.path[0] or os.curdir).resolve()
    if first == Path.cwd() and first != root:
        sys.path.append(sys.path.pop(0))


def check_own(name: str, mark: str, root: Path) -> None:
    """Checks that a top-level package is ours, without importing it.

    Args:
      name: the package's name.
      mark: text in the `__init__.py` of our package.
      root: the directory that our packages are in.

    Raises:
      ImportError: the package is missing or another project's.
    """
    source, place = _find(name)
    if mark in source:
        return
    own = root / name
    if place is None or place == own:
        happened = "there is no package" if place is None else "another project has replaced the package"
        raise ImportError(
            f"{happened} {name} of acme-psro in {root}: uninstall other distributions that have one, as "
            "openai-agents, then run pip install --force-reinstall --no-deps acme-psro, or give acme-psro a "
            "virtual environment of its own",
            name=name,
        )
    raise ImportError(
        f"{place} hides the package {name} of acme-psro in {root}: rename it, start Python in another "
        "directory, or use the command acme-psro",
        name=name,
    )


def _find(name: str) -> tuple[str, Path | None]:
    """Returns the source of a package's `__init__.py`, and its directory, or None if it is not found."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # A module that was put into `sys.modules` by hand.
        spec = None
    if spec is None:
        return "", None
    loader = spec.loader
    source = loader.get_source(name) if isinstance(loader, InspectLoader) and spec.has_location else ""
    places = spec.submodule_search_locations or [str(Path(spec.origin or name).parent)]
    return source or "", Path(next(iter(places))).resolve()
