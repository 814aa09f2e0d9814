"""Preparation of a run: exact or sampled payoffs, and all checks before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.storage import run_directory

if TYPE_CHECKING:
    from acme_psro.population_runs.sampled import SampledRun


def settle_payoffs(config: PSROConfig, directory: Path) -> PSROConfig:
    """Returns the configuration with `payoffs` decided, as far as possible without compiling the game.

    Only programs can do without a compiled game. A run is resumed as it began, which its `config.json` says.

    Raises:
      ValueError: a `config.json` that cannot be read, or that names unknown payoffs.
    """
    if config.payoffs != "auto":
        return config
    if config.oracle != "launchpad":
        return dataclasses.replace(config, payoffs="exact")
    path = directory / "config.json"
    if not path.exists():
        return config
    sampled = run_directory.is_sampled(run_directory.read_config(path))
    return dataclasses.replace(config, payoffs="sampled" if sampled else "exact")


def prepare_run(
    config: PSROConfig,
    directory: Path,
    started: float,
    warn: Callable[[str], None],
    on_progress: Callable[[int], None],
) -> ExactRun | SampledRun:
    """Compiles the game, unless payoffs are sampled, and checks all settings; writes nothing.

    Args:
      config: the run's configuration, see `settle_payoffs`.
      directory: the run's directory.
      started: `time.monotonic()` when the process began.
      warn: called with one line for each thing that goes wrong.
      on_progress: called with the number of nodes compiled so far.

    Raises:
      ValueError: a setting that is not allowed, an unknown game, or one that does not compile.
    """
    if config.oracle == "launchpad":
        _check_launchpad(config)
    if config.payoffs != "sampled":
        tree = _compile(config, warn, on_progress)
        if tree is not None:
            return ExactRun(dataclasses.replace(config, payoffs="exact"), tree, directory, started, warn)
    from acme_psro.population_runs.sampled import SampledRun

    return SampledRun(dataclasses.replace(config, payoffs="sampled"), directory, started, warn)


def _check_launchpad(config: PSROConfig) -> None:
    """Checks settings before the game is compiled, because compiling may take minutes."""
    from acme_psro.meta_game.sampled import SimulationConfig
    from acme_psro.oracles.launchpad.tasks import LaunchpadConfig

    LaunchpadConfig(**config.launchpad)
    SimulationConfig(**config.simulation)


def _compile(
    config: PSROConfig, warn: Callable[[str], None], on_progress: Callable[[int], None]
) -> GameTree | None:
    """Returns the compiled game, or None if it does not compile and need not."""
    load_game(config.game)
    try:
        return compile_game(config.game, config.max_nodes, on_progress=on_progress)
    except GameError as error:
        if config.payoffs == "exact":
            raise
        warn(f"{str(error).split(':')[0]}: payoffs are simulated (--payoffs=sampled does so at once).")
        return None
