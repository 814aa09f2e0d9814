"""CrossQ as a Launchpad program: replay, counter, learner, actors and evaluator.

Run with --launch, it starts the program in threads; without, it only prints the program's groups.
"""

# [start:imports]
import functools
import sys

import agents.acme_layer.compat  # noqa: F401

# isort: split

import launchpad as lp

from acme_psro.environments.by_name import make_environment
from agents.acme_layer.released import DistributedLayout
from agents.acme_layer.replay import ReplayConfig
from agents.crossq import PRESETS
from agents.crossq.builder import CrossQBuilder, make_networks

# [end:imports]


# [start:program]
config = PRESETS["games"]
layout = DistributedLayout(
    CrossQBuilder(config, ReplayConfig(batch_size=256)),
    network_factory=lambda spec: make_networks(spec, config),
    environment_factory=functools.partial(make_environment, "openspiel:kuhn_poker"),
    seed=0,
    num_actors=2,
    max_number_of_steps=20_000,
)
program = layout.build()
print({group: len(nodes) for group, nodes in program.groups.items()})
# [end:program]

if "--launch" in sys.argv:
    lp.launch(program, launch_type="local_mt", terminal="current_terminal")
