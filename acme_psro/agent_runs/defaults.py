"""Settings of agents and of their replay that differ by kind of environment."""

from __future__ import annotations

from typing import Any, NamedTuple


class Overrides(NamedTuple):
    """Values that replace fields of the agent's preset and of the replay's defaults.

    Attributes:
      agent: values by field of the agent's configuration.
      replay: values by field of `agents.acme_layer.replay.ReplayConfig`.
    """

    agent: dict[str, Any]
    replay: dict[str, Any]


# On-policy learning: replay is a short queue, and actors fetch every new policy. Prefetching more than one
# batch would make the data older.
_ON_POLICY = {
    "queue": True,
    "batch_size": 256,
    "samples_per_insert": 1.0,
    "min_replay_size": 256,
    "max_replay_size": 512,
    "variable_update_period": 1,
    "prefetch_size": 1,
    "num_parallel_calls": 1,
}


# The self-play agent estimates advantages over sequences, and learns from each batch in several epochs. Most
# games have few decisions of one player, and padding counts as decisions of a batch.
_EPOCHS = {
    **_ON_POLICY,
    "batch_size": 1024,
    "min_replay_size": 1024,
    "max_replay_size": 4096,
    "sequence_length": 4,
}


_SELF_PLAY = {
    "control": Overrides(agent={}, replay={**_EPOCHS, "sequence_length": 16}),
    "openspiel": Overrides(agent={}, replay=_EPOCHS),
}


# Overrides by name of the agent and kind of environment.
_DEFAULTS: dict[str, dict[str, Overrides]] = {
    "crossq": {
        "control": Overrides(agent={}, replay={"gradient_steps_per_learner_step": 4}),
        # Players make only a few decisions per game, and the reward comes at its end: so returns are not
        # discounted.
        "openspiel": Overrides(
            agent={
                "discount": 1.0,
                "exploration": 0.15,
                "temperature": 0.3,
                "final_temperature": 0.003,
                "learning_rate": 0.01,
                "final_learning_rate": 0.0001,
                # Running statistics must be usable after a few hundred updates.
                "renorm_warmup": 200,
                "renorm_momentum": 0.95,
            },
            replay={
                "batch_size": 512,
                "min_replay_size": 2000,
                "samples_per_insert": 32.0,
                "gradient_steps_per_learner_step": 4,
            },
        ),
    },
    "conditional_mpo": {
        "control": Overrides(agent={}, replay={"n_step": 5, "gradient_steps_per_learner_step": 4}),
        "openspiel": Overrides(
            agent={"discount": 1.0},
            replay={
                "batch_size": 512,
                "min_replay_size": 2000,
                "samples_per_insert": 32.0,
                "gradient_steps_per_learner_step": 4,
            },
        ),
    },
    # Every decision is used exactly once, in the order of the decisions. Control has one environment, whose
    # decisions are few: larger batches would leave too few updates.
    "vmpo": {
        "control": Overrides(
            agent={}, replay={**_ON_POLICY, "n_step": 16, "batch_size": 64, "min_replay_size": 64}
        ),
        "openspiel": Overrides(agent={"discount": 1.0}, replay={"n_step": 8, **_ON_POLICY}),
    },
    "ppo": _SELF_PLAY,
    "mmd": _SELF_PLAY,
}


def find_overrides(agent: str, kind: str) -> Overrides:
    """Returns the values for an agent and a kind of environment, none for agents of a user's own.

    Args:
      agent: name of the agent.
      kind: kind of the environment, "openspiel" or "control".
    """
    return _DEFAULTS.get(agent, {}).get(kind, Overrides({}, {}))
