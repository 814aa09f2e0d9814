"""Construction of the oracle whose responses are distilled into one network, from a run's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from acme_psro.games.tree import GameTree
from acme_psro.neupl.distillation import DistillationConfig, Network
from acme_psro.neupl.distilling_oracle import DistillingOracle, MakeNetwork
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import configure_agent, make_member
from agents.core import Observation
from agents.registry import AGENTS

if TYPE_CHECKING:
    from acme_psro.oracles.device.oracle import DeviceOracle


def make_distilling(
    config: PSROConfig, make_responses: Callable[..., DeviceOracle], is_stochastic: bool
) -> Callable[[GameTree], DistillingOracle]:
    """Returns a function that makes the oracle for a compiled game.

    Args:
      config: the run's configuration.
      make_responses: makes the oracle that learns the responses in a compiled game; its agent may be
        replaced.
      is_stochastic: True if they play with their agents' probabilities.

    Raises:
      ValueError: a setting is not allowed.
    """
    settings = DistillationConfig(**config.neupl)
    make_network = make_policy_network(config)
    embedding_size = configure_agent(config, AGENTS[config.agent].core(), {}).embedding_size

    def make(tree: GameTree) -> DistillingOracle:
        if config.warm_start == "none":
            responses = make_responses(tree)
        else:
            # Responses that begin in the members' network have its layers: their embedding is a context, with
            # the player in front.
            responses = make_responses(tree, agent=make_member(config, tree.num_players + embedding_size))
        return DistillingOracle(tree, responses, make_network, embedding_size, settings, is_stochastic)

    return make


def make_policy_network(config: PSROConfig) -> MakeNetwork:
    """Returns a function that makes the network of the configured agent's policy, told apart by contexts.

    Args:
      config: the run's configuration, with an agent that takes contexts.

    Raises:
      ValueError: a setting is unknown to the agent or not allowed.
    """
    agent = AGENTS[config.agent].core()

    def make(example: Observation, num_actions: int) -> Network:
        # A context is any numbers here, as a mixture is in NeuPL: an embedding, with the player in front.
        chosen = configure_agent(config, agent, {"mixture_size": example.context.shape[-1]})
        policy = agent.make_networks(example, num_actions, chosen).policy
        return Network(policy.init, policy.apply)

    return make
