"""Builder of MPO and V-MPO for Acme's runners, and their networks for an environment."""

from __future__ import annotations

import functools

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme import specs

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.conditional_mpo import networks
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.learning import make_core
from agents.interface import make_interface

# Targets look five steps ahead, as in Acme's MPO.
DEFAULT_REPLAY = ReplayConfig(n_step=5)
# Every decision is used exactly once and soon after it was made, so the queue holds only a few batches.
ON_POLICY_REPLAY = ReplayConfig(
    samples_per_insert=1.0,
    min_replay_size=256,
    max_replay_size=2048,
    n_step=5,
    prefetch_size=1,
    num_parallel_calls=1,
    variable_update_period=1,
    queue=True,
)


class ConditionalMPOBuilder(CoreBuilder):
    """Builder of MPO, or of V-MPO with `on_policy`, for discrete and for continuous actions.

    Args:
      config: the agent's configuration, by default `ConditionalMPOConfig()`; `make_networks` must get the
        same.
      replay: the replay's configuration, by default `DEFAULT_REPLAY`, or `ON_POLICY_REPLAY` for V-MPO.

    Raises:
      ValueError: Retrace is on, but replay keeps no sequences.
    """

    def __init__(
        self, config: ConditionalMPOConfig | None = None, replay: ReplayConfig | None = None
    ) -> None:
        config = config or ConditionalMPOConfig()
        replay = replay or (ON_POLICY_REPLAY if config.on_policy else DEFAULT_REPLAY)
        if config.retrace and replay.sequence_length == 1:
            raise ValueError(
                "Retrace corrects returns over several decisions in a row: give the replay a sequence_length "
                "above 1, with n_step 1, or set retrace=False."
            )
        # Both take densities of the actions that were drawn. Clipped ones would pile up at the bounds.
        keeps_drawn = config.on_policy or config.retrace
        super().__init__(functools.partial(make_core, config=config), config.discount, replay, keeps_drawn)


def make_networks(
    environment_spec: specs.EnvironmentSpec, config: ConditionalMPOConfig | None = None
) -> networks.MPONetworks:
    """Makes networks for the environment's observations and actions.

    Args:
      environment_spec: the environment's specs.
      config: the agent's configuration, by default `ConditionalMPOConfig()`.

    Raises:
      ValueError: the package's agents cannot handle the environment, or its context does not have the
        size that the configuration asks for.
    """
    interface = make_interface(environment_spec)
    actions = interface.num_actions if interface.bounds is None else interface.bounds
    return networks.make_networks(interface.example, actions, config or ConditionalMPOConfig())
