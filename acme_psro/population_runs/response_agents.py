"""Agents that learn best responses, made from a run's configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from acme_psro.population_runs.config import PSROConfig
from agents import settings
from agents.registry import AGENTS

if TYPE_CHECKING:
    from acme_psro.oracles.device.on_policy import RolloutAgent
    from acme_psro.oracles.device.training import MakeAgent
    from agents.core import AgentCore, Observation
    from agents.registry import CoreParts


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
