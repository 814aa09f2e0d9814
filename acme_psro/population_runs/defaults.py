"""Default budgets and agent settings of PSRO runs, by game and agent.

With these defaults the device oracle meets the project's bars on a game on two CPU cores. Flags of the
launchers override them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from acme_psro.psro.registry import get_loop
from agents.registry import AGENTS, response_agents
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

_DEVICE = {"gradient_steps": 600, "num_envs": 1024, "batch_size": 2048, "buffer_size": 200_000}

# Conditional MPO needs more training extensions than CrossQ to reach small gaps late in PSRO.
_LEDUC_MPO_DEVICE = {**_DEVICE, "enough": 0.97}

_KUHN_DEVICE = {"gradient_steps": 300, "num_envs": 512, "batch_size": 1024, "buffer_size": 100_000}

# Less momentum and more frequent target updates than in the preset make the gaps late in PSRO a quarter
# smaller.
_MPO = {"discount": 1.0, "adam_b1": 0.5, "target_critic_period": 5}

# In games that hide the opponent's moves, pure responses and mixtures of few of them are easy to exploit.
# Responses that stay stochastic gain a few hundredths less; in phantom tic-tac-toe mixtures of up to sixteen
# are then at an exploitability of 0.21, while mixtures of pure ones stay between 0.8 and 1.
_PHANTOM_DEVICE = {**_DEVICE, "stochastic_responses": True}
_PHANTOM_CROSSQ = {**_CROSSQ, "final_temperature": 0.05}

# About as many decisions of the learning player as other agents have: half of a rollout's are its own.
_ROLLOUTS = {"gradient_steps": 1280, "num_envs": 128, "batch_size": 1024}
_KUHN_ROLLOUTS = {"gradient_steps": 640, "num_envs": 128, "batch_size": 512}
_PHANTOM_ROLLOUTS = {**_ROLLOUTS, "stochastic_responses": True}
# Advantages that are not normalised keep the temperature in units of returns, so that policies stay
# stochastic if little is left to gain. Mixtures are still much easier to exploit than those of CrossQ's.
_PHANTOM_PPO = {
    "normalise": False,
    "entropy": 0.1,
    "learning_rate": 1e-3,
    "final_learning_rate": 0.0,
}
_PHANTOM_MMD = {"normalise": False, "entropy": 0.05, "kl": 1.0}

_LAUNCHPAD = {"actor_steps": 200_000}

_KUHN_LAUNCHPAD = {"actor_steps": 20_000}

SETTINGS: dict[str, dict[str, GameSettings]] = {
    "default": {
        "crossq": GameSettings(20, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": GameSettings(20, _DEVICE, _MPO, _LAUNCHPAD),
        "ppo": GameSettings(20, _ROLLOUTS, {}, _LAUNCHPAD),
        "mmd": GameSettings(20, _ROLLOUTS, {}, _LAUNCHPAD),
    },
    "phantom_ttt": {
        "crossq": GameSettings(30, _PHANTOM_DEVICE, _PHANTOM_CROSSQ, _LAUNCHPAD),
        "conditional_mpo": GameSettings(30, _PHANTOM_DEVICE, _MPO, _LAUNCHPAD),
        "ppo": GameSettings(30, _PHANTOM_ROLLOUTS, _PHANTOM_PPO, _LAUNCHPAD),
        "mmd": GameSettings(30, _PHANTOM_ROLLOUTS, _PHANTOM_MMD, _LAUNCHPAD),
    },
    "dark_hex": {
        "crossq": GameSettings(30, _PHANTOM_DEVICE, _PHANTOM_CROSSQ, _LAUNCHPAD),
        "conditional_mpo": GameSettings(30, _PHANTOM_DEVICE, _MPO, _LAUNCHPAD),
        "ppo": GameSettings(30, _PHANTOM_ROLLOUTS, _PHANTOM_PPO, _LAUNCHPAD),
        "mmd": GameSettings(30, _PHANTOM_ROLLOUTS, _PHANTOM_MMD, _LAUNCHPAD),
    },
    "leduc_poker": {
        "crossq": GameSettings(100, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": GameSettings(100, _LEDUC_MPO_DEVICE, _MPO, _LAUNCHPAD),
        "ppo": GameSettings(100, _ROLLOUTS, {}, _LAUNCHPAD),
        "mmd": GameSettings(100, _ROLLOUTS, {}, _LAUNCHPAD),
    },
    "kuhn_poker": {
        "crossq": GameSettings(20, _KUHN_DEVICE, _CROSSQ, _KUHN_LAUNCHPAD),
        "conditional_mpo": GameSettings(20, _KUHN_DEVICE, _MPO, _KUHN_LAUNCHPAD),
        "ppo": GameSettings(20, _KUHN_ROLLOUTS, {}, _KUHN_LAUNCHPAD),
        "mmd": GameSettings(20, _KUHN_ROLLOUTS, {}, _KUHN_LAUNCHPAD),
    },
}

# Named budgets of the device oracle. In both, games are kept from one response to the next, and their number
# doubles while responses fall short. They differ in how many games there are to begin with.
_KEPT = {"gradient_steps": 600, "batch_size": 2048, "max_extensions": 0}
PRESETS: dict[str, dict[str, Any]] = {
    # Playing takes hardly any time, so that the first responses get as many games as help.
    "fast": {**_KEPT, "games_per_response": 16_000, "max_games_per_response": 256_000},
    "frugal": {**_KEPT, "games_per_response": 2000, "max_games_per_response": 64_000},
}


# Games that are kept suit XDO best: its opponents change little from one iteration to the next.
XDO_PRESET = "fast"


# Responses that begin in the population's network have to learn little but their last layers. What holds them
# back then is how far the policy may move between copies to its target. Fresh networks gain less by these
# settings, see `experiments.benchmarks.warm_start`.
WARM_START: dict[str, dict[str, Any]] = {
    "conditional_mpo": {"epsilon_policy": 0.3, "target_policy_period": 5, "target_critic_period": 2}
}

# In a network of many members, values change with the graph for as long as the run lasts. In Leduc poker
# eight members end at a population exploitability of about 0.6 with this learning rate, and of 0.8 with one
# that falls.
_NEUPL = {**_MPO, "learning_rate": 0.003, "final_learning_rate": 0.003}
_NEUPL_EPOCHS = 100
# An agent that learns from each decision about once needs more of them at a time, and the graph is made anew
# after as many gradient steps as with other agents. Within wider bounds its policies become deterministic
# before the members below them have settled, and try nothing else any more.
_NEUPL_ON_POLICY = {"rounds": 25, "num_envs": 4096, "updates_per_round": 4, "batch_size": 4096}
_NEUPL_V_MPO = {
    "discount": 1.0,
    "learning_rate": 0.003,
    "final_learning_rate": 0.003,
    "epsilon": 0.01,
    "epsilon_policy": 0.01,
}


# Members that move slowly, learn from twice as many games, and settle as the learning rate falls. They were
# chosen after two short runs of phantom tic-tac-toe with one seed, in which exploitability went up and down.
_PHANTOM_GAMES = ("phantom_ttt", "dark_hex")
_PHANTOM_NEUPL = {"num_envs": 1024, "buffer_size": 200_000}
_PHANTOM_MEMBERS = {
    "epsilon": 0.01,
    "epsilon_policy": 0.001,
    "learning_rate": 0.001,
    "final_learning_rate": 0.0001,
}


class MemberSettings(NamedTuple):
    """Settings of members that learn on the device, beside those of `game_settings`.

    Attributes:
      neupl: the population's settings that differ from those of `NeuPLConfig`.
      agent_settings: the agent's settings that differ from those of other games.
    """

    neupl: dict[str, Any]
    agent_settings: dict[str, Any]


def default_agent(loop: str) -> str:
    """Returns the name of the agent that learns in a loop if none is named."""
    entry = get_loop(loop)
    return "conditional_mpo" if entry.trains_members or entry.distils else "crossq"


def neupl_settings(game: str, agent: str) -> MemberSettings:
    """Returns the settings of a population that learns on the device, in an agent's network.

    Args:
      game: OpenSpiel game string; only its short name, without parameters, is looked up.
      agent: name of an agent whose network takes contexts.
    """
    if AGENTS[agent].is_on_policy:
        return MemberSettings(dict(_NEUPL_ON_POLICY), {})
    if agent == "conditional_mpo" and _short_name(game) in _PHANTOM_GAMES:
        return MemberSettings(dict(_PHANTOM_NEUPL), dict(_PHANTOM_MEMBERS))
    return MemberSettings({}, {})


def _short_name(game: str) -> str:
    return game.split("(", 1)[0].strip()


def game_settings(game: str, agent: str, loop: str = "psro", preset: str | None = None) -> GameSettings:
    """Returns the agent's defaults for a game, or its general defaults if the game has none of its own.

    Args:
      game: OpenSpiel game string; only its short name, without parameters, is looked up.
      agent: name of an agent that can learn best responses.
      loop: the loop's name.
      preset: a key of `PRESETS`, which replaces the device oracle's budget; None for `XDO_PRESET` in XDO, and
        for the game's own budget in other loops.

    Raises:
      ValueError: there is no such agent or preset.
    """
    check_known("agent", agent, AGENTS if get_loop(loop).trains_members else response_agents())
    named = SETTINGS.get(_short_name(game), {})
    # Agents of a user's own have the budgets of the others, and the settings of their preset.
    general = SETTINGS["default"].get(agent, GameSettings(20, _DEVICE, {}, _LAUNCHPAD))
    found = named.get(agent, general)
    if get_loop(loop).trains_members:
        found = GameSettings(_NEUPL_EPOCHS, {}, _NEUPL_V_MPO if agent == "vmpo" else _NEUPL, {})
    keeps = not AGENTS[agent].learns_from_rollouts and _short_name(game) not in _PHANTOM_GAMES
    if preset is None and loop == "xdo" and keeps:
        preset = XDO_PRESET
    if preset is None:
        return found
    check_known("preset", preset, PRESETS)
    return found._replace(device=dict(PRESETS[preset]))
