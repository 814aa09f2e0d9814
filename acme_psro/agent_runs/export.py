"""The policy that a run of one agent has come to, as a stored policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax

from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_agent
from acme_psro.games.loading import load_game
from acme_psro.policies import networks
from acme_psro.policies.stored import StoredPolicy
from acme_psro.storage import run_directory


def export(directory: Path) -> StoredPolicy:
    """The policy of the newest whole checkpoint, of kind "network": as the agent acts when it is judged.

    Args:
      directory: of a run of `run_agent` in a game.

    Raises:
      ValueError: there is no such run, it is of no game, or it has no checkpoint that is whole.
    """
    directory = Path(directory)
    path = directory / "config.json"
    if not path.exists():
        raise ValueError(f"there is no run in {directory} (no config.json).")
    config = AgentRunConfig.from_json(dict(run_directory.read_config(path)))
    if config.kind != "openspiel":
        raise ValueError(f"only policies of games are exported, and {directory} is of {config.environment}.")
    game = load_game(config.environment.partition(":")[2])
    # An `acme_psro.agent_runs.parts.Configured`.
    configured: Any = make_agent(config).make_core
    about = networks.about_network(game, config.player, config.agent, configured.config)
    core = networks.make_network(about).core
    like = jax.eval_shape(core.init, jax.random.PRNGKey(0))
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        saved = checkpoints.restore(like)
    if saved is None:
        raise ValueError(f"the run in {directory} has no checkpoint yet: let it run on.")
    return StoredPolicy(about, networks.to_arrays(core.variables(saved.state)))
