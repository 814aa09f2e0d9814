"""Small configurations of every agent, for tests: XLA takes seconds to compile larger ones.

They learn the tasks of `tests.agents.acme_layer.released_test` within 300 decisions.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from agents import conditional_mpo, crossq
from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.conditional_mpo import PRESETS
from agents.conditional_mpo import builder as mpo_builder
from agents.crossq import CrossQConfig
from agents.crossq import builder as crossq_builder


class SmallAgent(NamedTuple):
    """Parts of an agent with a small configuration.

    Attributes:
      configs: "discrete" or "continuous" actions -> configuration.
      make_builder: (configuration, replay) -> builder.
      make_networks: (environment spec, configuration) -> networks.
      make_core: (networks, configuration) -> `AgentCore`.
      max_replay_size: largest number of decisions in its replay.
    """

    configs: dict[str, Any]
    make_builder: Callable[..., CoreBuilder]
    make_networks: Callable[..., Any]
    make_core: Callable[..., Any]
    max_replay_size: int = 1_000_000

    def replay(self, **settings: Any) -> ReplayConfig:
        """Returns the configuration of a replay with one stream of samples."""
        usual = {"max_replay_size": self.max_replay_size, "prefetch_size": 1, "num_parallel_calls": 1}
        return ReplayConfig(**usual | settings)


_CROSSQ = CrossQConfig(
    critic_hidden_sizes=(),
    policy_hidden_sizes=(),
    num_critics=1,
    policy_delay=1,
    discount=0.0,
    learning_rate=0.02,
    final_learning_rate=0.02,
    temperature=0.05,
    learn_temperature=False,
    final_temperature=0.05,
    critic_entropy=False,
    normalise_inputs=False,
)
# Reverb's sampling has no seed. At higher rates of learning, one run in ten ends at the wrong bound.
_CROSSQ_CURVED = dataclasses.replace(
    _CROSSQ, critic_hidden_sizes=(16,), learning_rate=0.005, final_learning_rate=0.005
)
_MPO = dataclasses.replace(
    PRESETS["acme"],
    critic_hidden_sizes=(),
    policy_hidden_sizes=(),
    discount=0.0,
    learning_rate=0.05,
    final_learning_rate=0.05,
    temperature=0.1,
    alpha_policy=0.1,
    epsilon=0.5,
    epsilon_policy=0.1,
    target_policy_period=5,
    target_critic_period=5,
)
_MPO_CURVED = dataclasses.replace(
    _MPO,
    critic_hidden_sizes=(16, 16),
    learning_rate=0.01,
    final_learning_rate=0.01,
    epsilon_mean=0.1,
    epsilon_deviation=0.01,
    alpha_mean=0.1,
    alpha_deviation=1.0,
)
_VMPO = dataclasses.replace(_MPO, on_policy=True)
_VMPO_CURVED = dataclasses.replace(_MPO_CURVED, on_policy=True)
_MPO_PARTS = (mpo_builder.ConditionalMPOBuilder, mpo_builder.make_networks, conditional_mpo.make_core)

SMALL_AGENTS = {
    "crossq": SmallAgent(
        {"discrete": _CROSSQ, "continuous": _CROSSQ_CURVED},
        crossq_builder.CrossQBuilder,
        crossq_builder.make_networks,
        crossq.make_core,
    ),
    "conditional_mpo": SmallAgent({"discrete": _MPO, "continuous": _MPO_CURVED}, *_MPO_PARTS),
    # Two batches fill the replay, so its decisions are nearly those of the current policy.
    "vmpo": SmallAgent({"discrete": _VMPO, "continuous": _VMPO_CURVED}, *_MPO_PARTS, max_replay_size=64),
}
