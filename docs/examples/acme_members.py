"""One network that is many policies: members of conditional MPO, told apart by their contexts."""

# [start:imports]
import agents.acme_layer.compat  # noqa: F401

# isort: split

import dataclasses

import acme
import numpy as np

from acme_psro.environments.by_name import make_environment
from acme_psro.environments.wrappers import MemberWrapper
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
