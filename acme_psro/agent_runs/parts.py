"""Components of a run of one agent: the environment, and the configured agent as an Acme builder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import numpy as np

from acme_psro.agent_runs.agent_settings import configure_agent
from acme_psro.agent_runs.agent_settings import make_replay as make_replay
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.environments.by_name import make_environment
from agents.acme_layer.builder import CoreBuilder
from agents.core import AgentCore
from agents.registry import AGENTS


class Agent(NamedTuple):
    """Configured agent of a run.

    Attributes:
      builder: the agent as a builder for Acme's runners.
      network_factory: function that makes the networks from an environment spec.
      make_core: function that makes the `AgentCore` from the networks.
    """

    builder: CoreBuilder
    network_factory: Callable[[Any], Any]
    make_core: Callable[[Any], AgentCore]


class Parts(NamedTuple):
    """Components of a run.

    Attributes:
      environment: training environment.
      spec: specification of the environment.
      agent: the agent that learns.
    """

    environment: dm_env.Environment
    spec: acme.specs.EnvironmentSpec
    agent: Agent


def make_parts(config: AgentRunConfig) -> Parts:
    """Makes all components of a run and checks that they fit together, without writing anything.

    Raises:
      ValueError: a value of the configuration is not allowed.
    """
    # Settings are checked before the environment is made, which may take much longer.
    make_agent(config)
    environment = make_run_environment(config, 0)
    spec = acme.make_environment_spec(environment)
    agent = make_agent(config, isinstance(spec.actions, acme.specs.DiscreteArray))
    # Only to raise errors of this agent in this environment now, before anything is written.
    agent.make_core(agent.network_factory(spec))
    return Parts(environment, spec, agent)


def make_run_environment(config: AgentRunConfig, stream: int) -> dm_env.Environment:
    """Makes the configured environment.

    Args:
      config: configuration of the run.
      stream: number of the random stream. Environments with different numbers have different episodes.

    Raises:
      ValueError: the environment is unknown or cannot be made.
    """
    seed = int(np.random.SeedSequence([config.seed, stream]).generate_state(1)[0])
    return make_environment(config.environment, seed, player=config.player, opponent=config.opponent)


def make_agent(config: AgentRunConfig, discrete: bool = False) -> Agent:
    """Makes the configured agent.

    Args:
      config: configuration of the run.
      discrete: True if the environment is no game and has discrete actions, for which the preset `discrete`
        is the default if the agent has it.

    Raises:
      ValueError: the preset is unknown, or a setting is not allowed.
    """
    chosen, replay = configure_agent(config, discrete), make_replay(config)
    core, acme_parts = AGENTS[config.agent].core(), AGENTS[config.agent].acme()
    networks = Configured(acme_parts.make_networks, chosen)
    return Agent(acme_parts.builder(chosen, replay), networks, Configured(core.make_core, chosen))


@dataclasses.dataclass(frozen=True)
class Configured:
    """Function whose second argument, the agent's configuration, is fixed.

    It is used instead of `functools.partial` because unpickling an object of this class imports this module,
    and with it `agents.acme_layer.compat` before Acme, in the receiving process.

    Attributes:
      function: function of one argument and the agent's configuration.
      config: the agent's configuration.
    """

    function: Callable[[Any, Any], Any]
    config: Any

    def __call__(self, argument: Any) -> Any:
        return self.function(argument, self.config)
