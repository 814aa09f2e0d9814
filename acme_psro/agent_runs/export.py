"""Export of the policy of a run of one agent as a stored policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acme_psro.agent_runs.agent_settings import configure_agent
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.stored_runs import read_config, restore
from acme_psro.games.identity import name_game
from acme_psro.policies import networks
from acme_psro.policies.stored import StoredPolicy
from agents.core import AgentCore


def export(directory: Path) -> StoredPolicy:
    """Returns the policy of the newest complete checkpoint, as the agent acts in evaluations.

    Args:
      directory: output directory of a run of `run_agent` whose environment is a game.

    Returns:
      A stored policy of kind "network".

    Raises:
      ValueError: the directory has no run or no complete checkpoint, or the run's environment is not a game.
    """
    directory = Path(directory)
    config = read_config(directory)
    if config.kind != "openspiel":
        raise ValueError(f"only policies of games are exported, and {directory} is of {config.environment}.")
    core = make_core(config)
    return to_stored(config, core.variables(restore(directory, core).state))


def to_stored(config: AgentRunConfig, variables: Any) -> StoredPolicy:
    """Returns a policy of a run as a stored policy.

    Args:
      config: configuration of a run in a game.
      variables: the agent's variables, as its `AgentCore.variables` returns them.
    """
    return StoredPolicy(_describe(config), networks.to_arrays(variables))


def make_core(config: AgentRunConfig) -> AgentCore:
    """Returns the run's agent, bound to its networks.

    Args:
      config: configuration of a run in a game.

    Raises:
      ValueError: a setting is not allowed, or the game does not suit the agent.
    """
    return networks.make_network(_describe(config)).core


def _describe(config: AgentRunConfig) -> dict[str, Any]:
    """Returns the description of a stored policy of the run."""
    game = name_game(config.environment.partition(":")[2])
    return networks.about_network(game, config.player, config.agent, configure_agent(config))
