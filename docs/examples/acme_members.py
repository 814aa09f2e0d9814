"""One network that is many policies: members of conditional MPO, told apart by their contexts."""

# [start:imports]
import agents.acme_layer.compat  # noqa: F401

# isort: split

import dataclasses
from typing import Any

import acme
import dm_env
import numpy as np
from acme import specs, wrappers

from acme_psro.environments.by_name import make_environment
from agents.acme_layer.released import make_local_agent
from agents.acme_layer.replay import ReplayConfig
from agents.conditional_mpo import PRESETS
from agents.conditional_mpo.builder import ConditionalMPOBuilder, make_networks
from agents.conditional_mpo.conditioning import make_contexts

# [end:imports]


# [start:config]
config = dataclasses.replace(PRESETS["games"], num_members=3)
contexts = make_contexts(config, np.arange(3))  # [M, C] float32: one row a member
# [end:config]


# [start:wrapper]
class MemberWrapper(wrappers.EnvironmentWrapper):
    """Draws a member for each episode and shows its context in every observation."""

    def __init__(self, environment: dm_env.Environment, contexts: np.ndarray, seed: int) -> None:
        super().__init__(environment)
        self._contexts = contexts
        self._rng = np.random.default_rng(seed)
        self._member = 0

    def reset(self) -> dm_env.TimeStep:
        self._member = int(self._rng.integers(len(self._contexts)))
        return self._show(super().reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._show(super().step(action))

    def observation_spec(self) -> Any:
        return super().observation_spec()._replace(context=specs.Array(self._contexts.shape[1:], np.float32))

    def _show(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        shown = timestep.observation._replace(context=self._contexts[self._member])
        return timestep._replace(observation=shown)


# [end:wrapper]

# [start:agent]
environment = MemberWrapper(make_environment("openspiel:kuhn_poker", seed=0), contexts, seed=0)
agent = make_local_agent(
    ConditionalMPOBuilder(config, ReplayConfig(batch_size=64, min_replay_size=64)),
    network_factory=lambda spec: make_networks(spec, config),
    environment_spec=acme.make_environment_spec(environment),
    seed=0,
    in_process=True,
)
loop = acme.EnvironmentLoop(environment, agent)
loop.run(num_episodes=100)
# [end:agent]
print("context of the last episode:", environment.reset().observation.context)

# Reverb's server has to end before the interpreter does.
del loop, agent
