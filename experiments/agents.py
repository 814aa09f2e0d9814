"""Agents by name, for the device oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from acme_psro.oracles.device import MakeAgent
from agents import crossq
from agents.core import AgentCore, Observation
from experiments.configs import PSROConfig


def make_agent(config: PSROConfig) -> MakeAgent:
    """What builds the configured agent for a game.

    Raises:
      ValueError: a setting that the agent does not allow.
    """
    return _AGENTS[config.agent](config)


def _crossq(config: PSROConfig) -> MakeAgent:
    settings = dataclasses.replace(crossq.PRESETS["games"], **config.crossq)

    def make(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
        # Learning rate and temperature fall over the budget of one response.
        planned = dataclasses.replace(settings, horizon=gradient_steps)
        return crossq.make_core(crossq.make_networks(example, num_actions, planned), planned)

    return make


_AGENTS: dict[str, Callable[[PSROConfig], MakeAgent]] = {"crossq": _crossq}
