"""Runs of one agent, read back: their configurations and their checkpoints. Nothing of Acme is imported."""

from __future__ import annotations

from pathlib import Path

import jax

from acme_psro.agent_runs.checkpoints import Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.storage import run_config
from agents.core import AgentCore


def read_config(directory: Path) -> AgentRunConfig:
    """Reads the configuration of a run of one agent.

    Raises:
      ValueError: the directory has no such run.
    """
    path = directory / "config.json"
    if not path.exists():
        raise ValueError(f"there is no run in {directory} (no config.json).")
    stored = dict(run_config.read_config(path))
    if "environment" not in stored:
        raise ValueError(f"{directory} holds no run of one agent: name a directory of run_agent.")
    return AgentRunConfig.from_json(stored)


def restore(directory: Path, agent: AgentCore) -> Saved:
    """Reads the newest complete checkpoint of a run, without removing damaged ones.

    Args:
      directory: output directory of the run.
      agent: functions of the run's agent, bound to its networks.

    Raises:
      ValueError: there is no complete checkpoint, or it is of another agent.
    """
    # The directory of checkpoints would be made if it did not exist.
    if not (directory / "checkpoints").is_dir():
        raise ValueError(f"the run in {directory} has no checkpoint yet: let it run longer.")
    # Only types and shapes are needed to restore a checkpoint, so the networks are not initialized.
    like = jax.eval_shape(agent.init, jax.random.PRNGKey(0))
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        saved = checkpoints.restore(like, keep_damaged=True)
    if saved is None:
        raise ValueError(f"the run in {directory} has no checkpoint yet: let it run longer.")
    return saved
