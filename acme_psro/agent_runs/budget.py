"""Check that a run is long enough to learn anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acme_psro.agent_runs.config import AgentRunConfig


def check_budget(config: AgentRunConfig, replay: Mapping[str, Any], flag: str = "actor_steps") -> None:
    """Checks that learning begins before the run's last decision.

    Args:
      config: configuration of the run.
      replay: fields of the run's `agents.acme_layer.replay.ReplayConfig` by name; those that are missing do
        not limit the run.
      flag: name of the flag that sets the number of decisions, for the error message.

    Raises:
      ValueError: the run would end without a gradient step.
    """
    made, first = config.actor_steps, replay.get("min_replay_size", 1)
    sample = replay.get("batch_size", 1) * replay.get("gradient_steps_per_learner_step", 1)
    # The learner of a program is another process: it needs a moment between the first sample and the end.
    if made < first or (config.distributed and made == first > 1):
        raise ValueError(
            f"learning begins after {first:,} decisions, and --{flag}={made} makes {made:,}, so that nothing "
            f"would be learned: give more --{flag}, or a smaller min_replay_size of the replay."
        )
    # In one process, Acme's layout makes the first step after as many decisions as a sample has.
    allowed: float = made
    if config.distributed:
        ahead = 1 + replay.get("samples_per_insert_tolerance_rate", 0.1)
        drawn = made * replay.get("samples_per_insert", float("inf"))
        allowed = drawn if ahead * drawn < sample else sample
    if allowed < sample:
        raise ValueError(
            f"the learner's first step needs {sample:,} samples, and --{flag}={made} allows {allowed:,.0f}, "
            f"so that nothing would be learned: give more --{flag}, or a smaller batch_size or "
            "gradient_steps_per_learner_step of the replay."
        )
