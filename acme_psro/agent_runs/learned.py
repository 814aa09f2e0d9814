"""Agents that runs have learned, loaded for use: they act in evaluation mode, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import jax
import numpy as np
from acme import core

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts, make_run_environment
from acme_psro.agent_runs.stored_runs import read_config, restore
from agents.acme_layer.builder import CoreBuilder

# Random stream of environments for use, see `make_run_environment`. Training and evaluation have others.
_USE = 2_000_000


class LearnedAgent(core.Actor):
    """Policy that a run has learned, as an actor of Acme that never learns.

    Continuous actions are the centre of the policy's distribution. Discrete actions are sampled from the
    policy, as equilibria are mixed; equal seeds give equal actions.

    Args:
      config: the run's configuration.
      spec: the specification of the run's environment.
      builder: the agent's builder.
      networks: the agent's networks.
      variables: the arrays of its policy.
      counts: counts of steps, episodes and seconds at which it was saved, by name.
      seed: seed of sampled actions.

    Attributes:
      config: the run's configuration.
      spec: the specification of the run's environment.
      counts: counts of steps, episodes and seconds at which it was saved, by name.
    """

    def __init__(
        self,
        config: AgentRunConfig,
        spec: acme.specs.EnvironmentSpec,
        builder: CoreBuilder,
        networks: Any,
        variables: Any,
        counts: dict[str, float],
        seed: int,
    ) -> None:
        self.config = config
        self.spec = spec
        self.counts = counts
        self._policy = builder.make_policy(networks, spec, evaluation=True)
        self._variables = variables
        self._state = self._policy.init(jax.random.PRNGKey(seed))

    def select_action(self, observation: Any) -> Any:
        """Returns the action for an observation of the run's environment, both as its specification says."""
        action, self._state = self._policy.select_action(self._variables, observation, self._state)
        return np.asarray(action)

    def make_environment(self, seed: int = 0) -> dm_env.Environment:
        """Makes the run's environment, with episodes that neither training nor evaluation had."""
        return make_run_environment(self.config, _USE + seed)

    def observe_first(self, timestep: dm_env.TimeStep) -> None:
        """Ignores the start of an episode, as nothing is learned."""

    def observe(self, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """Ignores a step, as nothing is learned."""

    def update(self, wait: bool = False) -> None:
        """Does nothing, as the policy never changes."""


def load_agent(run_dir: Path, seed: int = 0) -> LearnedAgent:
    """Loads the newest complete checkpoint of a run of one agent.

    It starts no server, runs no code from the run and writes nothing.

    Args:
      run_dir: output directory of a run of `run_agent`.
      seed: seed of sampled actions.

    Raises:
      ValueError: the directory has no such run, or no complete checkpoint.
    """
    directory = Path(run_dir)
    config = read_config(directory)
    parts = make_parts(config)
    networks = parts.agent.network_factory(parts.spec)
    agent = parts.agent.make_core(networks)
    saved = restore(directory, agent)
    variables = agent.variables(saved.state)
    return LearnedAgent(config, parts.spec, parts.agent.builder, networks, variables, saved.counts, seed)
