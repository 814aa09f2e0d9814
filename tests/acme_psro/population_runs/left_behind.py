"""Directories as runs leave them behind that are killed during their last iteration."""

import pathlib
import shutil


def copy_of_killed(whole: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Copies a run without its newest checkpoint, and returns the copy.

    A run that is gone on with from there trains the last iteration again, by the program that the whole run
    has compiled. A run that is begun for fewer iterations would compile another one, for fewer opponents.
    """
    shutil.copytree(whole, directory)
    *_, newest = sorted((directory / "checkpoints").glob("state_*.json"))
    newest.unlink()
    newest.with_suffix(".npz").unlink()
    return directory
