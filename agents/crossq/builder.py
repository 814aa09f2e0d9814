"""Builder of CrossQ for Acme's runners, and its networks for an environment."""

from __future__ import annotations

import functools

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme import specs

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.crossq import networks
from agents.crossq.config import CrossQConfig
from agents.crossq.learning import make_core
from agents.interface import make_interface


class CrossQBuilder(CoreBuilder):
    """Builder of CrossQ, for environments with discrete or continuous actions.

    Args:
      config: the agent's configuration; `CrossQConfig()` by default. `make_networks` must be given the same.
      replay: the replay's configuration.

    Raises:
      ValueError: the replay keeps sequences.
    """

    def __init__(self, config: CrossQConfig | None = None, replay: ReplayConfig | None = None) -> None:
        config = config or CrossQConfig()
        if replay is not None and replay.sequence_length > 1:
            raise ValueError(
                "CrossQ learns from single decisions and has no use for sequences: the replay's "
                f"sequence_length must be 1, not {replay.sequence_length}."
            )
        super().__init__(functools.partial(make_core, config=config), config.discount, replay)


def make_networks(
    environment_spec: specs.EnvironmentSpec, config: CrossQConfig | None = None
) -> networks.CrossQNetworks:
    """Makes networks for the observations and actions of an environment.

    Args:
      environment_spec: the environment's observations and actions.
      config: the agent's configuration; `CrossQConfig()` by default, as in the builder.

    Raises:
      ValueError: the agents of this package do not support the environment.
    """
    interface = make_interface(environment_spec)
    actions = interface.num_actions if interface.bounds is None else interface.bounds
    return networks.make_networks(interface.example, actions, config or CrossQConfig())
