"""The parts of a run of one agent: the environment, and the agent by name as Acme's builder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import agents.acme_compat  # noqa: F401

# isort: split

import acme
import dm_env
import numpy as np

from acme_psro.games.loading import load_game
from agents.builder import CoreBuilder, ReplayConfig
from agents.core import AgentCore
from agents.crossq import config as crossq
from agents.crossq import learning
from agents.crossq.builder import CrossQBuilder, make_networks
from experiments.agent_runs.config import AgentRunConfig
from experiments.environments import make_environment

_KINDS = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a list of whole numbers",
}


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
    planned = {
        "horizon": config.gradient_steps(replay.batch_size, replay.samples_per_insert),
        "reward_scale": _reward_scale(config),
    }
    settings = _replace("crossq", crossq.PRESETS[preset], planned | config.agent_overrides())
    return Agent(CrossQBuilder(settings, replay), NetworkFactory(settings), CoreFactory(settings))


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
      ValueError: a setting that it does not have, or a value of another type than it takes.
    """
    known = [field.name for field in dataclasses.fields(defaults)]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise ValueError(f"{what} has no setting {unknown[0]!r}; it has {', '.join(known)}.")
    checked = {name: _checked(what, name, value, getattr(defaults, name)) for name, value in changes.items()}
    return dataclasses.replace(defaults, **checked)


def _checked(what: str, name: str, value: Any, default: Any) -> Any:
    """The value as its default has it: whole numbers do as fractions, lists as tuples, `inf` as infinity.

    Raises:
      ValueError: a value of another type.
    """
    if isinstance(default, float) and type(value) in (int, float, str):
        if value == "inf" or not isinstance(value, str):
            return float(value)
    elif isinstance(default, tuple) and isinstance(value, list | tuple):
        if all(type(each) is int for each in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise ValueError(f"{what}'s {name} must be {_KINDS[type(default)]}, such as {default!r}, not {value!r}.")


_AGENTS: dict[str, Callable[[AgentRunConfig, ReplayConfig], Agent]] = {"crossq": _crossq}
