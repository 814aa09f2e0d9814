"""Checks of a run's settings in groups: their names and their types."""

from __future__ import annotations

import dataclasses
from typing import Any

from acme_psro.population_runs.config import PSROConfig
from acme_psro.psro.registry import get_loop
from agents.registry import AGENTS
from agents.settings import check_names, replace


def check_settings(config: PSROConfig) -> PSROConfig:
    """Returns the configuration, with the settings of the groups in use converted to their types.

    Raises:
      ValueError: a setting is unknown (the message proposes similar names), has another type or is out of its
        range.
    """
    owners = _owners(config)
    check_names({group: getattr(config, group) for group in owners}, owners)
    typed: dict[str, Any] = {}
    for group, owner in owners.items():
        given = getattr(config, group)
        checked = replace(config.agent if group == "agent_settings" else group, owner, given)
        typed[group] = {name: getattr(checked, name) for name in given}
    # A network of many members is conditioned on their mixtures, whose number is that of the members.
    if get_loop(config.loop).trains_members:
        _check_members(config)
    _check_contexts(config)
    # Decaying learning rates and temperatures must end with the budget of a response.
    if config.oracle == "device" and "horizon" in config.agent_settings:
        raise ValueError("agent_settings.horizon follows from device.gradient_steps: leave it out.")
    if "device" in owners and AGENTS[config.agent].learns_from_rollouts:
        _check_rollouts(config)
    return dataclasses.replace(config, **typed)


def _check_contexts(config: PSROConfig) -> None:
    """Checks that the agent's settings of contexts are not given if they follow from others."""
    origin = f"--loop={config.loop}" if get_loop(config.loop).distils else ""
    if config.warm_start != "none":
        origin = "the warm start"
    for name in ("num_members", "mixture_size"):
        if origin and name in config.agent_settings:
            raise ValueError(f"agent_settings.{name} follows from {origin}: leave it out.")


def _check_members(config: PSROConfig) -> None:
    """Checks that a population has no settings that follow from others or have no effect."""
    for name in ("horizon", "num_members", "mixture_size"):
        if name in config.agent_settings:
            raise ValueError(f"agent_settings.{name} follows from the population: leave it out.")
    if "extra_payoff_episodes" in config.simulation:
        raise ValueError(
            f"simulation.extra_payoff_episodes has no effect with --loop={config.loop}, whose program "
            "estimates the payoffs of members: leave it out."
        )
    _check_on_policy(config)


def _check_on_policy(config: PSROConfig) -> None:
    """Checks that a population has no settings that contradict its agent."""
    if "on_policy" in config.agent_settings:
        raise ValueError(
            "agent_settings.on_policy follows from --agent, which is vmpo for V-MPO: leave it out."
        )
    if config.oracle != "device" or not AGENTS[config.agent].is_on_policy:
        return
    for group, name in (("agent_settings", "target_policy_period"), ("neupl", "buffer_size")):
        if name in getattr(config, group):
            raise ValueError(
                f"{group}.{name} follows from --agent={config.agent}, which learns from the newest round "
                "alone: leave it out."
            )


def _check_rollouts(config: PSROConfig) -> None:
    """Checks that the budget of an agent that learns from whole rollouts has no settings of a buffer."""
    alone = f"--agent={config.agent} learns from its newest games alone"
    if config.device.get("games_per_response"):
        raise ValueError(
            f"{alone}: device.games_per_response must be 0, and no --preset that keeps games can be given."
        )
    for name in ("buffer_size", "updates_per_round", "max_games_per_response"):
        if name in config.device:
            raise ValueError(f"{alone}: device.{name} has no effect, so leave it out.")


def _owners(config: PSROConfig) -> dict[str, Any]:
    """Returns the groups of settings in use, each with an instance of the dataclass that has them.

    What is imported for them is imported by such a run anyway.
    """
    owners: dict[str, Any] = {}
    if get_loop(config.loop).trains_members:
        from acme_psro.neupl.config import NeuPLConfig

        owners["neupl"] = NeuPLConfig()
        if config.oracle == "launchpad":
            from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
            from acme_psro.meta_game.sampled import SimulationConfig

            owners["launchpad"] = NeuPLProgramConfig(config.game, config.iterations)
            owners["simulation"] = SimulationConfig()
    elif config.oracle == "device":
        from acme_psro.oracles.device.config import DeviceConfig

        owners["device"] = DeviceConfig()
    elif config.oracle == "launchpad":
        from acme_psro.meta_game.sampled import SimulationConfig
        from acme_psro.oracles.launchpad.config import LaunchpadConfig

        owners |= {"launchpad": LaunchpadConfig(), "simulation": SimulationConfig()}
    if get_loop(config.loop).distils:
        from acme_psro.neupl.distillation import DistillationConfig

        owners["neupl"] = DistillationConfig()
    if config.oracle != "exact" and config.agent_settings:
        owners["agent_settings"] = AGENTS[config.agent].core().defaults
    return owners
