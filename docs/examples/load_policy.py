"""Loads a run's final mixture, evaluates it with OpenSpiel and saves it as a table."""

# [start:imports]
import sys

import numpy as np
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.policies.meta_strategy import require_product
from acme_psro.storage import run_directory

# [end:imports]

# [start:load]
policy = acme_psro.load_policy(sys.argv[1])  # a run directory, e.g. runs/kuhn
print("exploitability:", exploitability.exploitability(policy.game, policy))

state = policy.game.new_initial_state()
while state.is_chance_node():
    state.apply_action(state.legal_actions()[0])
print(policy.action_probabilities(state))  # {action: probability}
# [end:load]

# [start:population]
run = run_directory.read(sys.argv[1])
last = run.record.state
for player, weights in enumerate(require_product(last.meta_strategy).marginals):
    print(f"player {player}: {len(last.populations[player])} policies, weights {np.round(weights, 3)}")
# [end:population]

# [start:export]
table = run.mixture_table()  # [I, A]: rows are run.tree.keys, columns are actions
np.savez("mixture.npz", table=table, keys=np.array(run.tree.keys))
# [end:export]
