"""Results of self-play runs, read from their directories: the policy, and its exact figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_psro.games.identity import name_game
from acme_psro.policies import as_openspiel, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.self_play_runs.games import policy_file
from acme_psro.storage.run_config import RunDirectoryError, read_config
from acme_psro.system.tables import read_csv

if TYPE_CHECKING:
    from open_spiel.python.policy import Policy

    from acme_psro.policies.decoders import Decoder


def is_self_play(directory: Path) -> bool:
    """Returns True if a directory holds a self-play run, finished or still running."""
    path = directory / "config.json"
    return path.is_file() and "algorithm" in read_config(path)


def load_policy(directory: Path, decoders: Mapping[str, Decoder] | None = None) -> Policy:
    """Returns the policy of a run at its newest evaluation, for all players, as an OpenSpiel policy.

    Args:
      directory: the run's directory.
      decoders: functions that make policies of stored ones, by kind; None: those of
        `acme_psro.policies.decoders`.

    Raises:
      ValueError: the run has no policy yet, or its files were altered.
    """
    game, files = _policies(directory)
    return as_openspiel.mixture_policy(
        game, [[each] for each in files], ProductStrategy((np.ones(1),) * len(files)), decoders
    )


def describe(directory: Path) -> dict[str, Any]:
    """Returns the newest row of metrics in the form of `acme-psro evaluate`; utilities in the game's units.

    Raises:
      ValueError: the run has no evaluation yet.
    """
    game, files = _policies(directory)
    config = read_config(directory / "config.json")
    row = read_csv(directory / "metrics.csv")[-1]
    return {
        "game": game,
        "players": len(files),
        "iterations": row["iteration"],
        "env_steps": row["env_steps"],
        "episodes": row["episodes"],
        "nash_conv": row["nash_conv"],
        "exploitability": row["exploitability"],
        "per_player_gain": [row[f"gain_{player}"] for player in range(len(files))],
        "algorithm": config["algorithm"],
    }


def _policies(directory: Path) -> tuple[str, list[stored.PolicyFile]]:
    """Returns the game's name and the file of each player's policy.

    Raises:
      ValueError: there are none, or they were altered.
    """
    game = name_game(read_config(directory / "config.json")["game"])
    folder = directory / "policies"
    files: list[stored.PolicyFile] = []
    while (path := policy_file(folder, len(files))).exists():
        files.append(stored.check_file(path, game, len(files)))
    if not files:
        raise RunDirectoryError(f"the run in {directory} has no policy yet: let it go on.")
    return game, files
