"""The parts of a run of one agent: the environment, and the agent by name as Acme's builder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import agents.acme_compat  # noqa: F401

# isort: split

import acme
import dm_env
import numpy as np

from agents.builder import CoreBuilder, ReplayConfig
from agents.core import AgentCore
from agents.crossq import config as crossq
from agents.crossq import learning
from agents.crossq.builder import CrossQBuilder, make_networks
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
    return _AGENTS[config.agent](config, _make_replay(config))


def _make_replay(config: AgentRunConfig) -> ReplayConfig:
    return _replace("replay", ReplayConfig(), config.replay_overrides())


def _crossq(config: AgentRunConfig, replay: ReplayConfig) -> Agent:
    preset = config.preset or ("games" if config.kind == "openspiel" else "default")
    if preset not in crossq.PRESETS:
        raise ValueError(f"no preset named {preset!r}; CrossQ has {', '.join(crossq.PRESETS)}.")
    horizon = config.gradient_steps(replay.batch_size, replay.samples_per_insert)
    settings = _replace("crossq", crossq.PRESETS[preset], {"horizon": horizon} | config.agent_overrides())
    return Agent(CrossQBuilder(settings, replay), NetworkFactory(settings), CoreFactory(settings))


@dataclasses.dataclass(frozen=True)
class NetworkFactory:
    """CrossQ's networks for an environment spec; a class, so that it can be sent to another process."""

    config: crossq.CrossQConfig

    def __call__(self, environment_spec: Any) -> Any:
        return make_networks(environment_spec, self.config)


@dataclasses.dataclass(frozen=True)
class CoreFactory:
    """CrossQ's core for networks."""

    config: crossq.CrossQConfig

    def __call__(self, networks: Any) -> AgentCore:
        return learning.make_core(networks, self.config)


def _replace(what: str, defaults: Any, changes: dict[str, Any]) -> Any:
    """The frozen dataclass with changes.

    Raises:
      ValueError: a setting that it does not have.
    """
    known = [field.name for field in dataclasses.fields(defaults)]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise ValueError(f"{what} has no setting {unknown[0]!r}; it has {', '.join(known)}.")
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    return dataclasses.replace(defaults, **tuples)


_AGENTS: dict[str, Callable[[AgentRunConfig, ReplayConfig], Agent]] = {"crossq": _crossq}
