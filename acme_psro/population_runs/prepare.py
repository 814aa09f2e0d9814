"""Preparation of a run: the choice of exact or sampled payoffs, and all checks of the configuration.

Nothing is written to the run's directory before the checks have passed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.agent_runs import installed, placement
from acme_psro.games import symmetry
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.settings import check_settings
from acme_psro.psro.registry import check_loop_fits, get_loop
from acme_psro.solvers import check_solver_fits
from acme_psro.storage.run_config import is_sampled, read_config
from acme_psro.system.executors.placing import LOCAL, Placing

if TYPE_CHECKING:
    from acme_psro.games.graph import GameGraph
    from acme_psro.population_runs.sampled import SampledRun
    from acme_psro.population_runs.sampled_members import SampledMembersRun


def settle_payoffs(config: PSROConfig, directory: Path) -> PSROConfig:
    """Returns the configuration with `payoffs` decided, if that is possible without compiling the game.

    Only the Launchpad oracle can do without a compiled game, so all other oracles need exact payoffs. A run
    that is resumed keeps the payoffs with which it began; they are stored in its `config.json`.

    Args:
      config: the run's configuration.
      directory: the run's directory.

    Raises:
      ValueError: `config.json` cannot be read, or it names unknown payoffs.
    """
    if config.payoffs != "auto":
        return config
    if config.oracle != "launchpad":
        return dataclasses.replace(config, payoffs="exact")
    path = directory / "config.json"
    if not path.exists():
        return config
    sampled = is_sampled(read_config(path))
    return dataclasses.replace(config, payoffs="sampled" if sampled else "exact")


def check_placing(config: PSROConfig, placing: Placing) -> None:
    """Checks that a run has work for a cluster, and connects this process to the cluster.

    Args:
      config: the run's configuration.
      placing: the machines on which the run's work is carried out; on this one, there is nothing to check.

    Raises:
      ValueError: the run has no such work, or the cluster cannot be used.
    """
    if not placing.is_remote:
        return
    if config.oracle == "exact":
        raise ValueError(
            "--executor=ray needs --oracle=device or --oracle=launchpad: exact responses take milliseconds."
        )
    placement.check_counted_by_ray(config.launchpad.get("learner_devices", ""))
    from acme_psro.system.executors import cluster

    cluster.connect(placing)


def prepare_run(
    config: PSROConfig,
    directory: Path,
    started: float,
    warn: Callable[[str], None],
    on_progress: Callable[[int], None],
    placing: Placing = LOCAL,
) -> ExactRun | GraphRun | SampledRun | SampledMembersRun:
    """Checks all settings and returns the run, without writing anything.

    The game is compiled unless payoffs are "sampled": to a tree, or to a graph if its tree is too large and
    the device oracle trains responses to mixtures or members. If payoffs are "auto" and the game does not
    compile, the run's payoffs are sampled.

    Args:
      config: the run's configuration, see `settle_payoffs`.
      directory: the run's directory.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line for each failure.
      on_progress: called with the number of nodes compiled so far.
      placing: the machines on which the run's work is carried out, see `check_placing`.

    Raises:
      ValueError: a setting is not allowed, the game is unknown, or it does not compile but has to.
    """
    config = check_settings(config)
    if config.oracle == "launchpad":
        # What trains whole populations is one program, whose budget is that of its epochs.
        if not get_loop(config.loop).trains_members:
            _check_budget(config, directory)
        installed.check_programs(config.launchpad.get("program", "launchpad"))
    if config.payoffs != "sampled":
        compiled = _compile(config, warn, on_progress)
        if compiled is not None:
            config = dataclasses.replace(config, payoffs="exact")
            return _make_run(config, compiled, directory, started, warn, placing)
    config = dataclasses.replace(config, payoffs="sampled")
    if get_loop(config.loop).trains_members:
        from acme_psro.population_runs.sampled_members import SampledMembersRun

        return SampledMembersRun(config, directory, started, warn, placing)
    from acme_psro.population_runs.sampled import SampledRun

    return SampledRun(config, directory, started, warn, placing)


def prepare_seeds(
    config: PSROConfig,
    directories: Mapping[int, Path],
    started: float,
    warn: Callable[[str], None],
    on_progress: Callable[[int], None],
    placing: Placing = LOCAL,
) -> list[ExactRun | GraphRun]:
    """Checks all settings and returns a run for each seed, without writing anything.

    The game is compiled once. The arguments are those of `prepare_run`, but for the directories.

    Args:
      config: the configuration of the runs, with any seed and exact payoffs.
      directories: the directory of each seed's run.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line for each failure; a line that several runs have is passed on once.
      on_progress: called with the number of nodes compiled so far.
      placing: the machines on which the runs' work is carried out, see `check_placing`.

    Raises:
      ValueError: a setting is not allowed, or the game is unknown or does not compile.
    """
    config = check_settings(config)
    compiled = _compile(config, warn, on_progress)
    assert compiled is not None, "games with exact payoffs compile, or an error says why not"
    said: set[str] = set()

    def warn_once(line: str) -> None:
        if line not in said:
            said.add(line)
            warn(line)

    return [
        _make_run(dataclasses.replace(config, seed=seed), compiled, directory, started, warn_once, placing)
        for seed, directory in directories.items()
    ]


def _make_run(
    config: PSROConfig,
    compiled: GameTree | GameGraph,
    directory: Path,
    started: float,
    warn: Callable[[str], None],
    placing: Placing,
) -> ExactRun | GraphRun:
    """Returns the run in a compiled game."""
    if isinstance(compiled, GameTree):
        return ExactRun(config, compiled, directory, started, warn, placing)
    return GraphRun(config, compiled, started, warn)


def _check_budget(config: PSROConfig, directory: Path) -> None:
    """Checks the budget of programs.

    The run checks it again, but only after the game is compiled, which may take minutes.
    """
    from acme_psro.agent_runs.budget import check_budget
    from acme_psro.agent_runs.config import AgentRunConfig
    from acme_psro.oracles.launchpad.config import LaunchpadConfig

    settings = LaunchpadConfig(**config.launchpad)
    # Older versions began runs that learn nothing, which can still be resumed.
    if not (directory / "config.json").exists():
        program = AgentRunConfig(
            config.agent, f"openspiel:{config.game}", settings.actor_steps, distributed=True
        )
        check_budget(program, program.replay_overrides(), "actor_steps_per_response")


def check_game(config: PSROConfig) -> None:
    """Checks what is known of a game before it is compiled.

    Raises:
      ValueError: the game is unknown, or the loop or the meta-solver does not take its number of players.
    """
    # Whether returns sum to zero is only known when the game is compiled, the number of players at once.
    num_players = load_game(config.game).num_players()
    check_loop_fits(config.loop, num_players, zero_sum=True)
    if get_loop(config.loop).uses_solver:
        check_solver_fits(config.meta_solver, num_players, zero_sum=True)
    if config.symmetric:
        symmetry.check_players(config.game, num_players)


def _compile(
    config: PSROConfig, warn: Callable[[str], None], on_progress: Callable[[int], None]
) -> GameTree | GameGraph | None:
    """Returns the compiled game, or None if it does not compile and payoffs may be sampled."""
    # A game that cannot even be loaded is always an error; only a failure to compile leads to sampling.
    check_game(config)
    entry = get_loop(config.loop)
    try:
        return compile_game(config.game, config.max_nodes, on_progress=on_progress)
    except GameError as error:
        on_graph = config.oracle == "device" and entry.takes_graphs
        if (entry.needs_tree and not on_graph) or config.symmetric:
            option = "--symmetric" if config.symmetric else f"--loop={config.loop}"
            raise ValueError(f"{option} needs a game that compiles; {error}") from None
        if on_graph:
            return _compile_graph(config, error, on_progress)
        if config.payoffs == "exact":
            if config.oracle == "exact" and entry.takes_graphs:
                raise ValueError(f"{error} Or try --oracle=device, which takes graphs too.") from None
            raise
        known = "estimated by the program" if entry.trains_members else "simulated"
        warn(f"{str(error).split(':')[0]}: payoffs are {known} (--payoffs=sampled does so at once).")
        return None


def _compile_graph(config: PSROConfig, no_tree: GameError, on_progress: Callable[[int], None]) -> GameGraph:
    """Returns a game as a graph of merged states.

    Args:
      config: the run's configuration.
      no_tree: the reason why the game is no tree.
      on_progress: called with the number of nodes compiled so far.

    Raises:
      ValueError: the game does not merge either.
    """
    from acme_psro.games.compile_graph import compile_graph

    try:
        return compile_graph(config.game, config.max_nodes, on_progress=on_progress)
    except GameError as error:
        raise ValueError(
            f"{no_tree} As a graph of merged states: {error} --oracle=launchpad needs neither."
        ) from None
