"""Agents by name, for the device oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from acme_psro.oracles.device import MakeAgent
from agents import crossq
from agents.core import AgentCore, Observation
from experiments import settings
from experiments.configs import PSROConfig


def make_agent(config: PSROConfig) -> MakeAgent:
    """What builds the configured agent for a game.

    Raises:
      ValueError: a setting that the agent does not have or allow.
    """
    return _AGENTS[config.agent](config)


def _crossq(config: PSROConfig) -> MakeAgent:
    chosen = settings.replace("crossq", crossq.PRESETS["games"], config.agent_settings)

    def make(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        # Learning rate and temperature fall over the budget of one response.
        planned = dataclasses.replace(chosen, horizon=gradient_steps)
        return crossq.make_core(crossq.make_networks(example, num_actions, planned), planned)

    return make


_AGENTS: dict[str, Callable[[PSROConfig], MakeAgent]] = {"crossq": _crossq}
