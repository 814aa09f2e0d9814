"""Builder of the self-play agent for Acme's runners, and its networks for an environment."""

from __future__ import annotations

import functools

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme import specs

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.interface import make_interface
from agents.self_play import networks
from agents.self_play.config import SelfPlayConfig
from agents.self_play.transitions import make_agent_core

# Every decision is used in one update and soon after it was made, so the queue holds only a few batches.
DEFAULT_REPLAY = ReplayConfig(
    batch_size=1024,
    samples_per_insert=1.0,
    min_replay_size=1024,
    max_replay_size=4096,
    sequence_length=16,
    prefetch_size=1,
    num_parallel_calls=1,
    variable_update_period=1,
    queue=True,
)


class SelfPlayBuilder(CoreBuilder):
    """Builder of PPO, MMD or NashPG for discrete actions.

    Args:
      config: the agent's configuration, by default `SelfPlayConfig()`; `make_networks` must get the same.
      replay: the replay's configuration, by default `DEFAULT_REPLAY`.

    Raises:
      ValueError: replay is not a queue, or a batch cannot be split into the agent's minibatches.
    """

    def __init__(self, config: SelfPlayConfig | None = None, replay: ReplayConfig | None = None) -> None:
        config, replay = config or SelfPlayConfig(), replay or DEFAULT_REPLAY
        if not replay.queue:
            raise ValueError(
                "the self-play agent learns from fresh decisions alone: give it a replay with queue."
            )
        if replay.batch_size % config.minibatches:
            raise ValueError(
                f"replay's batch_size {replay.batch_size} cannot be split into {config.minibatches} "
                "minibatches: choose a number that divides it."
            )
        super().__init__(functools.partial(make_agent_core, config=config), config.discount, replay)


def make_networks(
    environment_spec: specs.EnvironmentSpec, config: SelfPlayConfig | None = None
) -> networks.SelfPlayNetworks:
    """Makes the network for the environment's observations and actions.

    Args:
      environment_spec: the environment's specs.
      config: the agent's configuration, by default `SelfPlayConfig()`.

    Raises:
      ValueError: the package's agents cannot handle the environment, or its actions are continuous.
    """
    interface = make_interface(environment_spec)
    actions = interface.num_actions if interface.bounds is None else interface.bounds
    return networks.make_networks(interface.example, actions, config or SelfPlayConfig())
