"""Settings of a run's agent and of its replay. Nothing of Acme is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.games.loading import largest_return
from agents import settings
from agents.registry import AGENTS
from agents.replay_config import ReplayConfig


def configure_agent(config: AgentRunConfig, discrete: bool = False) -> Any:
    """Makes the configuration of the run's agent.

    Args:
      config: configuration of the run.
      discrete: True if the environment is no game and has discrete actions, for which the preset `discrete`
        is the default if the agent has it.

    Raises:
      ValueError: the preset is unknown, or a setting is not allowed.
    """
    presets = AGENTS[config.agent].core().presets
    usual = "games" if config.kind == "openspiel" else "discrete" if discrete else "default"
    if usual not in presets:
        usual = "default"
    return _configure(presets, config, config.preset or usual)


def make_replay(config: AgentRunConfig) -> ReplayConfig:
    """Makes the configuration of the replay: its defaults, with the overrides of the run.

    Raises:
      ValueError: a setting is not allowed.
    """
    return settings.replace("replay", ReplayConfig(), config.replay_overrides())


def _configure(presets: Mapping[str, Any], config: AgentRunConfig, name: str) -> Any:
    """Makes the agent's configuration: a preset, with the overrides of the run.

    Args:
      presets: the agent's presets by name.
      config: configuration of the run.
      name: name of the preset.

    Raises:
      ValueError: the preset is unknown, or a setting is not allowed.
    """
    if name not in presets:
        raise ValueError(f"no preset named {name!r}; {config.agent} has {', '.join(presets)}.")
    replay = make_replay(config)
    # Derived from the length of the run and from the game. Overrides of the user take precedence.
    steps = config.gradient_steps(replay.batch_size, replay.samples_per_insert)
    derived = {
        # The schedules of agents that learn in epochs run over decisions.
        "horizon": config.actor_steps if AGENTS[config.agent].learns_from_rollouts else steps,
        "reward_scale": _reward_scale(config),
    }
    return settings.replace(config.agent, presets[name], derived | config.agent_overrides())


def _reward_scale(config: AgentRunConfig) -> float:
    """Computes the factor that scales the returns of a game to [-1, 1], as the on-device oracles do.

    Returns:
      One over the largest absolute utility of the game; 1 in other environments, and in games whose largest
      utility is zero or infinite.

    Raises:
      ValueError: the game is unknown.
    """
    if config.kind != "openspiel":
        return 1.0
    return 1 / largest_return(config.environment.partition(":")[2])
