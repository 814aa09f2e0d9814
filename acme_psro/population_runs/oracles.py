"""Construction of the oracles of runs in compiled games from their names and settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acme_psro.games import cache
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PolicyT
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.oracles.base import Oracle
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_agent, make_learner, make_member
from acme_psro.psro.registry import get_loop
from acme_psro.system import compiled_programs
from acme_psro.system.executors.placing import LOCAL, Placing
from agents.registry import AGENTS

if TYPE_CHECKING:
    from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
    from acme_psro.games.graph import GameGraph
    from acme_psro.neupl.base import MemberGame
    from acme_psro.neupl.oracle import NeuPLOracle
    from acme_psro.oracles.device.graph_oracle import GraphOracle


_NEEDS_SAMPLES = (
    "needs a game that does not compile, and has no effect otherwise: exploitability is exact. Leave it out."
)


def prepare_oracle(
    config: PSROConfig, directory: Path, warn: Callable[[str], None], placing: Placing = LOCAL
) -> Callable[[GameTree], Oracle[Policy, np.ndarray]]:
    """Checks the oracle's settings and returns a function that makes the oracle for a compiled game.

    An oracle's code is imported only if the configuration names it, because importing JAX takes a second.

    Args:
      config: the run's configuration.
      directory: the run's directory.
      warn: called with one line for each failure of a program.
      placing: the machines on which programs run.

    Raises:
      ValueError: a setting is not allowed.
    """
    if get_loop(config.loop).trains_members:
        return _prepare_members(config, directory, warn, placing)
    if config.oracle == "exact":
        from acme_psro.oracles import exact

        return functools.partial(exact.make_oracle, tolerance=config.tolerance)
    if config.oracle == "launchpad":
        from acme_psro.oracles.launchpad import exact as launchpad_exact
        from acme_psro.oracles.launchpad.config import LaunchpadConfig
        from acme_psro.policies import as_table
        from acme_psro.population_runs import responses

        launchpad = LaunchpadConfig(**config.launchpad)
        if launchpad.exploiter_agent:
            raise ValueError(f"launchpad.exploiter_agent {_NEEDS_SAMPLES}")
        return functools.partial(
            launchpad_exact.make_oracle,
            directory=directory / "responses",
            run_programs=responses.make_run_programs(config, warn, placing=placing),
            make_table=as_table.make_table,
            tolerance=config.tolerance,
            trembles=launchpad.trembles,
        )
    from acme_psro.oracles.device import oracle as device_oracle
    from acme_psro.oracles.device.config import DeviceConfig

    # Compilation takes most of the start of a run.
    compiled_programs.keep_here(cache.directory() / "xla")
    settings = DeviceConfig(**config.device)
    starts_warm = config.warm_start == "population"
    make_responses = functools.partial(
        device_oracle.make_oracle,
        agent=make_member(config) if starts_warm else make_learner(config),
        config=settings,
        tolerance=config.tolerance,
        warm_start=starts_warm,
    )
    if not get_loop(config.loop).distils:
        return make_responses
    from acme_psro.population_runs.distilling import make_distilling

    return make_distilling(config, make_responses, settings.stochastic_responses)


def prepare_graph_oracle(config: PSROConfig, graph: GameGraph) -> GraphOracle | NeuPLOracle[GraphPolicy]:
    """Checks the oracle's settings and makes the oracle for a game that is compiled to a graph.

    Args:
      config: the run's configuration.
      graph: the compiled game.

    Raises:
      ValueError: a setting is not allowed.
    """
    if config.warm_start != "none":
        raise ValueError(
            f"--warm_start={config.warm_start} needs a game that compiles to a tree, and {graph.game_string} "
            "is a graph of merged states: leave it out."
        )
    if get_loop(config.loop).trains_members:
        from acme_psro.neupl.on_graph import GraphMembers

        return _prepare_member_oracle(config)(GraphMembers(graph))
    from acme_psro.oracles.device.config import DeviceConfig
    from acme_psro.oracles.device.graph_oracle import GraphOracle

    compiled_programs.keep_here(cache.directory() / "xla")
    settings = DeviceConfig(**config.device)
    # An iteration may add a policy that learned beside the response too.
    most = 1 + config.iterations * (2 if settings.self_play else 1)
    if config.loop == "xdo":
        # Responses have two opponents: a policy, and the same one with a share of uniform play.
        most = 2
    falls_back = config.loop == "xdo"
    return GraphOracle(graph, make_learner(config), settings, config.tolerance, most, falls_back)


def _prepare_members(
    config: PSROConfig, directory: Path, warn: Callable[[str], None], placing: Placing
) -> Callable[[GameTree], Oracle[Policy, np.ndarray]]:
    """Returns a function that makes the oracle of a loop that trains whole populations."""
    members = NeuPLConfig(**config.neupl)
    if config.oracle == "launchpad":
        from acme_psro.agent_runs.neupl_program.oracle import ProgramOracle

        program = make_program_config(config)
        if program.exploiter_steps:
            raise ValueError(f"launchpad.exploiter_steps {_NEEDS_SAMPLES}")
        return functools.partial(
            ProgramOracle,
            config=program,
            directory=directory / "program",
            on_event=lambda event: warn(f"{event.job}: {event.message}") if event.message else None,
            placing=placing,
        )
    if config.oracle == "exact":
        from acme_psro.neupl import exact

        return functools.partial(exact.ExactNeuPLOracle, config=members)
    from acme_psro.neupl.on_tree import TreeMembers

    make_oracle = _prepare_member_oracle(config)
    return lambda tree: make_oracle(TreeMembers(tree))


def _prepare_member_oracle(config: PSROConfig) -> Callable[[MemberGame[PolicyT]], NeuPLOracle[PolicyT]]:
    """Returns a function that makes the device oracle of members in a tree or a graph."""
    from acme_psro.neupl.oracle import NeuPLOracle

    members = NeuPLConfig(**config.neupl)
    compiled_programs.keep_here(cache.directory() / "xla")
    settings = {"mixture_size": members.context_size}
    is_on_policy = AGENTS[config.agent].is_on_policy
    if is_on_policy:
        # The policy that acts changes between rounds only, so that all of a round's decisions are its own.
        settings["target_policy_period"] = members.updates_per_round
    return functools.partial(
        NeuPLOracle,
        make_agent=make_agent(config, settings),
        config=members,
        epochs=config.iterations,
        is_on_policy=is_on_policy,
    )


def make_program_config(config: PSROConfig) -> NeuPLProgramConfig:
    """Returns the configuration of the program that trains a whole population.

    Raises:
      ValueError: a setting is not allowed.
    """
    from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig

    # In a game that does not compile the program need not try to.
    usual = {"max_nodes": 0 if config.payoffs == "sampled" else config.max_nodes}
    return NeuPLProgramConfig(
        game=config.game,
        epochs=config.iterations,
        seed=config.seed,
        agent=config.agent,
        neupl=config.neupl,
        agent_settings=config.agent_settings,
        **(usual | config.launchpad),
    )
