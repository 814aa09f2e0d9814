"""Construction of the oracles of runs in compiled games from their names and settings."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_psro.games import cache
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PolicyT
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.oracles.base import Oracle
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.config import PSROConfig
from acme_psro.psro.registry import get_loop
from acme_psro.system import compiled_programs
from acme_psro.system.executors.placing import LOCAL, Placing
from agents import settings
from agents.registry import AGENTS

if TYPE_CHECKING:
    from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
    from acme_psro.games.graph import GameGraph
    from acme_psro.neupl.base import MemberGame
    from acme_psro.neupl.oracle import NeuPLOracle
    from acme_psro.oracles.device.graph_oracle import GraphOracle
    from acme_psro.oracles.device.on_policy import RolloutAgent
    from acme_psro.oracles.device.training import MakeAgent
    from agents.core import AgentCore, Observation
    from agents.registry import CoreParts


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
        from acme_psro.oracles.launchpad.tasks import LaunchpadConfig
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
    from acme_psro.oracles.device import training
    from acme_psro.population_runs import oracles

    # Compilation takes most of the start of a run.
    compiled_programs.keep_here(cache.directory() / "xla")
    settings = training.DeviceConfig(**config.device)
    starts_warm = config.warm_start == "population"
    make_responses = functools.partial(
        device_oracle.make_oracle,
        agent=oracles.make_member(config) if starts_warm else oracles.make_learner(config),
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
    if get_loop(config.loop).trains_members:
        from acme_psro.neupl.on_graph import GraphMembers

        return _prepare_member_oracle(config)(GraphMembers(graph))
    from acme_psro.oracles.device.graph_oracle import GraphOracle
    from acme_psro.oracles.device.training import DeviceConfig

    compiled_programs.keep_here(cache.directory() / "xla")
    settings = DeviceConfig(**config.device)
    return GraphOracle(graph, make_learner(config), settings, config.tolerance, config.iterations + 1)


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


def make_agent(config: PSROConfig, conditioning: Mapping[str, Any] = MappingProxyType({})) -> MakeAgent:
    """Returns a function that makes the configured agent for a game.

    Args:
      config: the run's configuration.
      conditioning: the agent's settings that tell what its policies are conditioned on.

    Raises:
      ValueError: a setting is unknown to the agent or not allowed.
    """
    agent = AGENTS[config.agent].core()
    chosen = configure_agent(config, agent, conditioning)

    def make(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        # Schedules of learning rate and temperature end with the budget of one response, which is known only
        # to the oracle.
        planned = dataclasses.replace(chosen, horizon=gradient_steps)
        return agent.make_core(agent.make_networks(example, num_actions, planned), planned)

    return make


def make_learner(config: PSROConfig) -> MakeAgent | RolloutAgent:
    """Returns the configured agent as the device oracle takes it, whichever way it learns.

    Raises:
      ValueError: a setting is unknown to the agent or not allowed.
    """
    if not AGENTS[config.agent].learns_from_rollouts:
        return make_agent(config)
    from acme_psro.self_play.responses import make_rollout_agent

    return make_rollout_agent(configure_agent(config, AGENTS[config.agent].core(), {}))


def configure_agent(config: PSROConfig, agent: CoreParts, conditioning: Mapping[str, Any]) -> Any:
    """Returns the agent's configuration: its preset for games, with the run's settings.

    Raises:
      ValueError: a setting is unknown to the agent or not allowed.
    """
    preset = agent.presets.get("games", agent.presets["default"])
    return settings.replace(config.agent, preset, {**config.agent_settings, **conditioning})


def make_member(config: PSROConfig, embedding_size: int | None = None) -> MakeAgent:
    """Returns a function that makes the configured agent as one member of a population.

    Its observations have no context, as those of other agents.

    Args:
      config: the run's configuration, with an agent that takes contexts.
      embedding_size: numbers that tell the member from others; None for those of the agent's settings.

    Raises:
      ValueError: a setting is unknown to the agent or not allowed.
    """
    from acme_psro.oracles.device.population_start import add_context, see_member

    # However many members there will be, only one learns at a time.
    sizes = {} if embedding_size is None else {"embedding_size": embedding_size}
    make_one = make_agent(config, {"num_members": 1, **sizes})

    def make(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        seen = add_context(example)
        return see_member(make_one(seen, num_actions, gradient_steps))

    return make
