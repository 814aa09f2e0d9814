"""Which kind of run a configuration comes to: one in a compiled game, or one by play."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.storage import run_directory


def settle_payoffs(config: PSROConfig, directory: Path) -> PSROConfig:
    """The configuration with its kind of payoffs settled, as far as it can be without compiling the game.

    Only programs can do without; and a run goes on as it began, which its `config.json` tells.

    Raises:
      ValueError: a `config.json` that cannot be read, or that names payoffs that there are not.
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
) -> PopulationRun:
    """Compiles the game, unless it is to be played only, and checks all settings; writes nothing.

    Args:
      config: of the run, see `settle_payoffs`.
      directory: of the run.
      started: `time.monotonic()` when the process began.
      warn: is told, in one line each, what goes wrong.
      on_progress: is told how many nodes have been compiled.

    Raises:
      ValueError: a setting that is not allowed, or a game that there is not or that does not compile.
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
    """Checks settings before the game is compiled, which may take minutes."""
    from acme_psro.meta_game.sampled import SimulationConfig
    from acme_psro.oracles.launchpad.tasks import LaunchpadConfig

    LaunchpadConfig(**config.launchpad)
    SimulationConfig(**config.simulation)


def _compile(
    config: PSROConfig, warn: Callable[[str], None], on_progress: Callable[[int], None]
) -> GameTree | None:
    """The game compiled; None where it does not compile and need not."""
    load_game(config.game)
    try:
        return compile_game(config.game, config.max_nodes, on_progress=on_progress)
    except GameError as error:
        if config.payoffs == "exact":
            raise
        warn(f"{str(error).split(':')[0]}: payoffs are simulated (--payoffs=sampled does so at once).")
        return None
