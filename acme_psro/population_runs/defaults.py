"""Default budgets and agent settings of PSRO runs, by game and agent.

With these defaults the device oracle meets the project's bars on a game on two CPU cores. Flags of the
launchers override them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from agents.registry import RESPONSE_AGENTS
from agents.settings import check_known


class GameSettings(NamedTuple):
    """Default budgets and settings of an agent in a game.

    Attributes:
      iterations: the number of iterations of the outer PSRO loop.
      device: the device oracle's configuration, by field of `DeviceConfig`.
      agent_settings: the settings of the device oracle's learner that differ from the agent's preset.
      launchpad: the Launchpad oracle's configuration.
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
    # A response has only a few hundred updates, so running statistics must become accurate quickly.
    "renorm_warmup": 200,
    "renorm_momentum": 0.95,
}

_DEVICE = {"gradient_steps": 1000, "num_envs": 8192, "batch_size": 4096, "buffer_size": 200_000}

# Conditional MPO needs more training extensions than CrossQ to reach small gaps late in PSRO.
_LEDUC_MPO_DEVICE = {**_DEVICE, "enough": 0.97}

_KUHN_DEVICE = {"gradient_steps": 300, "num_envs": 512, "batch_size": 1024, "buffer_size": 100_000}

# Less momentum and more frequent target updates than in the preset make the gaps late in PSRO a quarter
# smaller.
_MPO = {"discount": 1.0, "adam_b1": 0.5, "target_critic_period": 5}

_LAUNCHPAD = {"actor_steps": 200_000}

_KUHN_LAUNCHPAD = {"actor_steps": 20_000}

SETTINGS: dict[str, dict[str, GameSettings]] = {
    "default": {
        "crossq": GameSettings(20, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": GameSettings(20, _DEVICE, _MPO, _LAUNCHPAD),
    },
    "leduc_poker": {
        "crossq": GameSettings(100, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": GameSettings(100, _LEDUC_MPO_DEVICE, _MPO, _LAUNCHPAD),
    },
    "kuhn_poker": {
        "crossq": GameSettings(20, _KUHN_DEVICE, _CROSSQ, _KUHN_LAUNCHPAD),
        "conditional_mpo": GameSettings(20, _KUHN_DEVICE, _MPO, _KUHN_LAUNCHPAD),
    },
}


def game_settings(game: str, agent: str) -> GameSettings:
    """Returns the agent's defaults for a game, or its general defaults if the game has none of its own.

    Args:
      game: OpenSpiel game string; only its short name, without parameters, is looked up.
      agent: name of an agent that can learn best responses.

    Raises:
      ValueError: there is no such agent.
    """
    check_known("agent", agent, RESPONSE_AGENTS)
    named = SETTINGS.get(game.split("(", 1)[0].strip(), {})
    return named.get(agent, SETTINGS["default"][agent])
