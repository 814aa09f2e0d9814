"""The parts of a run of one agent: the environment, and the agent by name as Acme's builder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import agents.acme_compat  # noqa: F401

# isort: split

import acme
import dm_env
import numpy as np

from acme_psro.games.loading import load_game
from agents import conditional_mpo as mpo
from agents import crossq, settings
from agents.builder import CoreBuilder, ReplayConfig
from agents.conditional_mpo import builder as mpo_builder
from agents.core import AgentCore
from agents.crossq import builder as crossq_builder
from experiments.agent_runs.config import AgentRunConfig
from experiments.environments import make_environment


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
    source = _AGENTS[config.agent]
    chosen = _configure(source, config)
    networks, core = Configured(source.make_networks, chosen), Configured(source.make_core, chosen)
    return Agent(source.builder(chosen, make_replay(config)), networks, core)


def make_replay(config: AgentRunConfig) -> ReplayConfig:
    """The configured replay.

    Raises:
      ValueError: a setting that is not allowed.
    """
    return settings.replace("replay", ReplayConfig(), config.replay_overrides())


class _Source(NamedTuple):
    """Where an agent comes from.

    Attributes:
      presets: its configurations by name; "default" is for control, "games" for games.
      builder: (configuration, replay) -> Acme's builder.
      make_networks: (environment spec, configuration) -> networks.
      make_core: (networks, configuration) -> `AgentCore`.
    """

    presets: Mapping[str, Any]
    builder: Callable[[Any, ReplayConfig], CoreBuilder]
    make_networks: Callable[[Any, Any], Any]
    make_core: Callable[[Any, Any], AgentCore]


def _configure(source: _Source, config: AgentRunConfig) -> Any:
    """The agent's configuration: a preset, and what is set over it.

    Raises:
      ValueError: there is no such preset, or a setting is not allowed.
    """
    name = config.preset or ("games" if config.kind == "openspiel" else "default")
    if name not in source.presets:
        raise ValueError(f"no preset named {name!r}; {config.agent} has {', '.join(source.presets)}.")
    replay = make_replay(config)
    planned = {
        "horizon": config.gradient_steps(replay.batch_size, replay.samples_per_insert),
        "reward_scale": _reward_scale(config),
    }
    return settings.replace(config.agent, source.presets[name], planned | config.agent_overrides())


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

    A class of this module, so that a process it is sent to imports `agents.acme_compat` before Acme.
    """

    function: Callable[[Any, Any], Any]
    config: Any

    def __call__(self, something: Any) -> Any:
        return self.function(something, self.config)


_MPO = _Source(
    {name: mpo.PRESETS[name] for name in ("default", "acme", "games")},
    mpo_builder.ConditionalMPOBuilder,
    mpo_builder.make_networks,
    mpo.make_core,
)
_AGENTS = {
    "crossq": _Source(
        crossq.PRESETS, crossq_builder.CrossQBuilder, crossq_builder.make_networks, crossq.make_core
    ),
    "conditional_mpo": _MPO,
    "vmpo": _MPO._replace(presets={"default": mpo.PRESETS["vmpo"], "games": mpo.PRESETS["vmpo_games"]}),
}
