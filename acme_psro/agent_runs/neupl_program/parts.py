"""Components of NeuPL's program: the agent, and the specification of games with contexts."""

from __future__ import annotations

from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import numpy as np
import pyspiel
from dm_env import specs

from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.parts import Agent, Parts, make_agent, make_replay, make_run_environment
from acme_psro.games.compile import compile_game
from acme_psro.games.identity import name_game
from acme_psro.games.loading import GameError, load_game
from acme_psro.neupl.sinks import read_sinks
from acme_psro.policies import networks
from agents.registry import AGENTS


def make_parts(config: NeuPLProgramConfig) -> Parts:
    """Makes all components and checks that they fit together, without writing anything.

    Raises:
      ValueError: a value of the configuration is not allowed, the game is not two-player and zero-sum, or it
        is too large for exact payoffs; or a sink's file cannot be used.
    """
    if not AGENTS[config.agent].takes_contexts:
        fitting = ", ".join(name for name, agent in AGENTS.items() if agent.takes_contexts)
        raise ValueError(
            f"NeuPL needs an agent whose network is told which member it is: one of {fitting}, not "
            f"{config.agent}."
        )
    _check_game(config.game)
    read_sinks(config.members, name_game(config.game))
    if config.payoffs == "exact":
        compile_game(config.game, config.max_nodes)
    agent = make_agent(config.run)
    replay = make_replay(config.run)
    if replay.sequence_length > 1 or replay.queue:
        raise ValueError(
            "NeuPL's program keeps single transitions: leave out the replay's sequence_length and queue."
        )
    environment = make_run_environment(config.run, 0)
    spec = acme.make_environment_spec(environment)
    context = specs.Array((config.context_size,), np.float32, "context")
    observations = spec.observations._replace(context=context)
    spec = spec._replace(observations=observations)
    agent.make_core(agent.network_factory(spec))
    return Parts(environment, spec, agent)


def _check_game(name: str) -> None:
    game = load_game(name)
    if game.num_players() != 2 or game.get_type().utility != pyspiel.GameType.Utility.ZERO_SUM:
        raise GameError(f"NeuPL is for two-player zero-sum games, which {name} is not: choose another.")


def describe(config: NeuPLProgramConfig, agent: Agent) -> dict[str, Any]:
    """Returns the description of the network, see `NeuPLPopulation.about`."""
    # `make_core` is typed as a function. It is an object that holds the agent's configuration.
    configured: Any = agent.make_core
    return networks.about_network(name_game(config.game), 0, config.agent, configured.config)
