"""Final evaluation of a Launchpad program, from its last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
from acme import core

from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.evaluation import Row, make_evaluation
from acme_psro.agent_runs.logs import TableLogger
from acme_psro.agent_runs.parts import make_parts


class _Variables(core.VariableSource):
    """Source of variables that never change.

    Args:
      variables: the variables, a pytree of arrays.
    """

    def __init__(self, variables: Any) -> None:
        self._variables = variables

    def get_variables(self, names: Sequence[str]) -> list[Any]:
        return [self._variables] * len(names)


def evaluate(config: AgentRunConfig, directory: Path, counts: dict[str, float], seconds: float) -> Row:
    """Evaluates the newest checkpoint and writes the last row of `evaluation.csv`.

    Args:
      config: configuration of the run.
      directory: output directory of the run.
      counts: counts of steps, episodes and seconds at the end of the program, by name.
      seconds: time since this process began.

    Returns:
      The row that was written.

    Raises:
      RuntimeError: the program has left no checkpoint.
    """
    parts = make_parts(config)
    agent = parts.agent.make_core(parts.agent.network_factory(parts.spec))
    # Only types and shapes are needed to restore a checkpoint, so the networks are not initialized.
    like = jax.eval_shape(agent.init, jax.random.PRNGKey(0))
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        saved = checkpoints.restore(like)
    if saved is None:
        raise RuntimeError(f"the program left no checkpoint; see {directory / 'program.log'}")
    source = _Variables(jax.device_get(agent.variables(saved.state)))
    row = make_evaluation(config, parts.agent, parts.spec, source)()
    # If the program ended before this process began, only the checkpoint has the full training time. If not,
    # the time of earlier launches plus that of this process is larger.
    before = counts.get("training_seconds", 0.0)
    row |= {
        "actor_steps": float(counts.get("actor_steps", 0)),
        "gradient_steps": float(counts.get("learner_gradient_steps", 0)),
        "training_seconds": max(saved.counts.get("training_seconds", 0.0), before + seconds),
        "evaluation_seconds": 0.0,
    }
    TableLogger(directory, "evaluation", "actor_steps").write(row)
    return row
