"""Population learning in games: policy-space response oracles over any OpenSpiel game."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from open_spiel.python.policy import Policy


def load_policy(run_dir: str | os.PathLike[str]) -> Policy:
    """The final mixture of a run as one OpenSpiel policy, weighted by reach.

    It plays the turn-based form of games with simultaneous moves. Loading it runs no code from the run.

    Raises:
      ValueError: there is no run, or no whole checkpoint of one.
    """
    from pathlib import Path

    from acme_psro import evaluation, run_directory

    run = run_directory.read(Path(run_dir))
    return evaluation.openspiel_policy(run.tree, run.mixture_table())
