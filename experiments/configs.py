"""What a PSRO run is: one frozen configuration, and named settings for each game and agent.

A setting holds the budgets with which the device oracle meets the project's bars on a game, on two CPU
cores; flags overrule it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from agents.registry import RESPONSE_AGENTS
from agents.settings import check_known


class Setting(NamedTuple):
    """Budgets and settings of an agent in a game.

    Attributes:
      iterations: of the outer loop.
      device: of the device oracle.
      agent_settings: over the agent's preset, of the device oracle's learner.
      launchpad: of the Launchpad oracle.
    """

    iterations: int
    device: dict[str, Any]
    agent_settings: dict[str, Any]
    launchpad: dict[str, Any]


_CROSSQ = {
    "discount": 1.0,
    "exploration": 0.15,
    "temperature": 0.3,
    "final_temperature": 0.003,
    "learning_rate": 0.02,
    "final_learning_rate": 0.0001,
    # Running statistics must be worth something within a few hundred updates.
    "renorm_warmup": 200,
    "renorm_momentum": 0.95,
}

_DEVICE = {"gradient_steps": 1000, "num_envs": 8192, "batch_size": 4096, "buffer_size": 200_000}

# Conditional MPO needs more tries than CrossQ for small gaps late in PSRO.
_LEDUC_MPO_DEVICE = {**_DEVICE, "enough": 0.97}

_KUHN_DEVICE = {"gradient_steps": 300, "num_envs": 512, "batch_size": 1024, "buffer_size": 100_000}

# Less momentum and newer targets than the preset: gaps late in PSRO are a quarter smaller.
_MPO = {"discount": 1.0, "adam_b1": 0.5, "target_critic_period": 5}

_LAUNCHPAD = {"actor_steps": 200_000}

_KUHN_LAUNCHPAD = {"actor_steps": 20_000}

SETTINGS: dict[str, dict[str, Setting]] = {
    "default": {
        "crossq": Setting(20, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": Setting(20, _DEVICE, _MPO, _LAUNCHPAD),
    },
    "leduc_poker": {
        "crossq": Setting(100, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": Setting(100, _LEDUC_MPO_DEVICE, _MPO, _LAUNCHPAD),
    },
    "kuhn_poker": {
        "crossq": Setting(20, _KUHN_DEVICE, _CROSSQ, _KUHN_LAUNCHPAD),
        "conditional_mpo": Setting(20, _KUHN_DEVICE, _MPO, _KUHN_LAUNCHPAD),
    },
}


def setting_for(game: str, agent: str) -> Setting:
    """The agent's setting named like the game (OpenSpiel's short name), or else its default one.

    Raises:
      ValueError: there is no such agent.
    """
    check_known("agent", agent, RESPONSE_AGENTS)
    named = SETTINGS.get(game.split("(", 1)[0].strip(), {})
    return named.get(agent, SETTINGS["default"][agent])
