"""CrossQ in Acme's local layout: one process that acts and learns by turns."""

# [start:imports]
# Before Acme: it makes the release work with today's JAX.
import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme

from acme_psro.environments.by_name import make_environment
from agents.acme_layer.released import make_local_agent, make_logger
from agents.acme_layer.replay import ReplayConfig
from agents.crossq import PRESETS
from agents.crossq.builder import CrossQBuilder, make_networks

# [end:imports]

# [start:agent]
environment = make_environment("openspiel:kuhn_poker", seed=0, player=0)
spec = acme.make_environment_spec(environment)
config = PRESETS["games"]
replay = ReplayConfig(batch_size=64, min_replay_size=64, samples_per_insert=16.0)

agent = make_local_agent(
    CrossQBuilder(config, replay),
    network_factory=lambda spec: make_networks(spec, config),
    environment_spec=spec,
    seed=0,
    in_process=True,  # experience in this process, not in a Reverb server
)
# [end:agent]

# [start:loop]
logger = make_logger("actor", "actor_steps")
loop = acme.EnvironmentLoop(environment, agent, logger=logger)
loop.run(num_episodes=150)
result = loop.run_episode()
print({name: float(result[name]) for name in ("episode_length", "episode_return")})
# [end:loop]

# Reverb's server has to end before the interpreter does.
del loop, agent
