"""Registry of agents by name, for the device oracle, decoders, `run_agent` and the flags.

An agent of your own is one more entry of `AGENTS`, made before a run is configured.

This module is light to import. Agents and Acme are imported only when an entry's functions are called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from agents.acme_layer.builder import CoreBuilder
    from agents.acme_layer.replay import ReplayConfig
    from agents.core import AgentCore


class CoreParts(NamedTuple):
    """Parts of an agent that do not need Acme.

    Attributes:
      defaults: a configuration; its fields and their types are the agent's settings.
      presets: configurations by name; "default" is for control, "games" for games.
      make_networks: (example `Observation` `[1, ..]`, actions or bounds, configuration) -> networks.
      make_core: (networks, configuration) -> `AgentCore`.
    """

    defaults: Any
    presets: Mapping[str, Any]
    make_networks: Callable[[Any, Any, Any], Any]
    make_core: Callable[[Any, Any], AgentCore]


class AcmeParts(NamedTuple):
    """Parts of an agent for Acme's launchers.

    Attributes:
      builder: (configuration, replay) -> Acme's builder.
      make_networks: (environment spec, configuration) -> networks.
    """

    builder: Callable[[Any, ReplayConfig], CoreBuilder]
    make_networks: Callable[[Any, Any], Any]


class Agent(NamedTuple):
    """An entry of the registry.

    Attributes:
      core: imports the agent and returns its parts.
      acme: imports the agent and Acme, and returns the parts for Acme.
      finds_responses: True if population runs may use it to find best responses.
      takes_contexts: True if one network of it may be many policies, told apart by their contexts.
      is_on_policy: True if it learns from its own newest decisions alone.
      learns_from_rollouts: True if, on the device, it plays whole rollouts of its newest policy and learns
        from them in epochs, see `agents.self_play`.
    """

    core: Callable[[], CoreParts]
    acme: Callable[[], AcmeParts]
    finds_responses: bool
    takes_contexts: bool = False
    is_on_policy: bool = False
    learns_from_rollouts: bool = False


def _crossq() -> CoreParts:
    from agents import crossq

    return CoreParts(crossq.CrossQConfig(), crossq.PRESETS, crossq.make_networks, crossq.make_core)


def _crossq_in_acme() -> AcmeParts:
    from agents.crossq import builder

    return AcmeParts(builder.CrossQBuilder, builder.make_networks)


def _mpo() -> CoreParts:
    from agents import conditional_mpo as mpo

    presets = {name: mpo.PRESETS[name] for name in ("default", "acme", "games")}
    return CoreParts(mpo.ConditionalMPOConfig(), presets, mpo.make_networks, mpo.make_core)


def _v_mpo() -> CoreParts:
    from agents import conditional_mpo as mpo

    names = {"default": "vmpo", "games": "vmpo_games", "short": "vmpo_short"}
    presets = {name: mpo.PRESETS[preset] for name, preset in names.items()}
    return _mpo()._replace(presets=presets)


def _mpo_in_acme() -> AcmeParts:
    from agents.conditional_mpo import builder

    return AcmeParts(builder.ConditionalMPOBuilder, builder.make_networks)


def _self_play(name: str) -> CoreParts:
    from agents import self_play
    from agents.self_play.transitions import make_agent_core

    preset = self_play.PRESETS[name]
    presets = {"default": preset, "games": preset}
    return CoreParts(self_play.SelfPlayConfig(), presets, self_play.make_networks, make_agent_core)


def _self_play_in_acme() -> AcmeParts:
    from agents.self_play import builder

    return AcmeParts(builder.SelfPlayBuilder, builder.make_networks)


def _self_play_agent(name: str) -> Agent:
    core = functools.partial(_self_play, name)
    return Agent(core, _self_play_in_acme, finds_responses=True, is_on_policy=True, learns_from_rollouts=True)


AGENTS: dict[str, Agent] = {
    "crossq": Agent(_crossq, _crossq_in_acme, finds_responses=True),
    "conditional_mpo": Agent(_mpo, _mpo_in_acme, finds_responses=True, takes_contexts=True),
    "vmpo": Agent(_v_mpo, _mpo_in_acme, finds_responses=False, takes_contexts=True, is_on_policy=True),
    "ppo": _self_play_agent("ppo"),
    "mmd": _self_play_agent("mmd"),
}


def response_agents() -> tuple[str, ...]:
    """Returns the names of the agents that may learn best responses in population runs."""
    return tuple(name for name, agent in AGENTS.items() if agent.finds_responses)


def member_agents() -> tuple[str, ...]:
    """Returns the names of the agents whose one network may learn all members of a population."""
    return tuple(name for name, agent in AGENTS.items() if agent.takes_contexts)
