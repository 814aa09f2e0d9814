"""The parts of a run of one agent: the environment, and the agent by name as Acme's builder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.environments.by_name import make_environment
from acme_psro.games.loading import load_game
from agents import settings
from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.core import AgentCore
from agents.registry import AGENTS


class Agent(NamedTuple):
    """What a run needs of an agent.

    Attributes:
      builder: for Acme's runners.
      network_factory: environment spec -> networks.
      make_core: networks -> `AgentCore`.
    """

    builder: CoreBuilder
    network_factory: Callable[[Any], Any]
    make_core: Callable[[Any], AgentCore]


class Parts(NamedTuple):
    """What a run consists of.

    Attributes:
      environment: to learn in.
      spec: of the environment.
      agent: that learns.
    """

    environment: dm_env.Environment
    spec: acme.specs.EnvironmentSpec
    agent: Agent


def make_parts(config: AgentRunConfig) -> Parts:
    """All parts, checked against each other; nothing is written.

    Raises:
      ValueError: something about the configuration that is not allowed.
    """
    agent = make_agent(config)
    environment = make_run_environment(config, 0)
    spec = acme.make_environment_spec(environment)
    agent.make_core(agent.network_factory(spec))
    return Parts(environment, spec, agent)


def make_run_environment(config: AgentRunConfig, stream: int) -> dm_env.Environment:
    """The configured environment; each `stream` gives other episodes.

    Raises:
      ValueError: there is no such environment.
    """
    seed = int(np.random.SeedSequence([config.seed, stream]).generate_state(1)[0])
    return make_environment(config.environment, seed, player=config.player, opponent=config.opponent)


def make_agent(config: AgentRunConfig) -> Agent:
    """The configured agent.

    Raises:
      ValueError: a setting that is not allowed.
    """
    entry = AGENTS[config.agent]
    core, acme_parts = entry.core(), entry.acme()
    chosen = _configure(core.presets, config)
    networks = Configured(acme_parts.make_networks, chosen)
    return Agent(
        acme_parts.builder(chosen, make_replay(config)), networks, Configured(core.make_core, chosen)
    )


def make_replay(config: AgentRunConfig) -> ReplayConfig:
    """The configured replay.

    Raises:
      ValueError: a setting that is not allowed.
    """
    return settings.replace("replay", ReplayConfig(), config.replay_overrides())


def _configure(presets: Mapping[str, Any], config: AgentRunConfig) -> Any:
    """The agent's configuration: a preset, and what is set over it.

    Raises:
      ValueError: there is no such preset, or a setting is not allowed.
    """
    name = config.preset or ("games" if config.kind == "openspiel" else "default")
    if name not in presets:
        raise ValueError(f"no preset named {name!r}; {config.agent} has {', '.join(presets)}.")
    replay = make_replay(config)
    planned = {
        "horizon": config.gradient_steps(replay.batch_size, replay.samples_per_insert),
        "reward_scale": _reward_scale(config),
    }
    return settings.replace(config.agent, presets[name], planned | config.agent_overrides())


def _reward_scale(config: AgentRunConfig) -> float:
    """What brings the returns of a game into [-1, 1], as the device path does; 1 elsewhere.

    Raises:
      ValueError: there is no such game.
    """
    if config.kind != "openspiel":
        return 1.0
    game = load_game(config.environment.partition(":")[2])
    most = max(abs(game.min_utility()), abs(game.max_utility()))
    return 1 / most if 0 < most < math.inf else 1.0


@dataclasses.dataclass(frozen=True)
class Configured:
    """A function of something and an agent's settings, with the settings given.

    A class of this module, so that a process it is sent to imports `agents.acme_layer.compat` before Acme.
    """

    function: Callable[[Any, Any], Any]
    config: Any

    def __call__(self, something: Any) -> Any:
        return self.function(something, self.config)
