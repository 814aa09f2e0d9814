"""Agents by name, for the device oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from acme_psro.oracles.device import MakeAgent
from agents import conditional_mpo, crossq, settings
from agents.core import AgentCore, Observation
from experiments.configs import PSROConfig


class _Agent(NamedTuple):
    """What the oracle needs of an agent: its settings for games, and what they make."""

    preset: Any
    make_networks: Callable[..., Any]
    make_core: Callable[..., AgentCore]


def make_agent(config: PSROConfig) -> MakeAgent:
    """What builds the configured agent for a game.

    Raises:
      ValueError: a setting that the agent does not have or allow.
    """
    agent = _AGENTS[config.agent]
    chosen = settings.replace(config.agent, agent.preset, config.agent_settings)

    def make(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        # Learning rate and temperature fall over the budget of one response.
        planned = dataclasses.replace(chosen, horizon=gradient_steps)
        return agent.make_core(agent.make_networks(example, num_actions, planned), planned)

    return make


_AGENTS = {
    "crossq": _Agent(crossq.PRESETS["games"], crossq.make_networks, crossq.make_core),
    "conditional_mpo": _Agent(
        conditional_mpo.PRESETS["games"], conditional_mpo.make_networks, conditional_mpo.make_core
    ),
}
