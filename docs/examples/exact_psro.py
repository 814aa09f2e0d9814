"""Exact PSRO on Kuhn poker, from Python."""

# [start:imports]
import numpy as np

from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver

# [end:imports]


# [start:parts]
tree = compile_game("kuhn_poker")
print(f"{tree.num_nodes} nodes, {tree.num_infosets} information states")

meta_game = ExactMetaGame(tree)  # knows the payoff of every profile
oracle = exact.make_oracle(tree)  # finds best responses
psro = meta_solving.make_loop(meta_game, get_solver("nash"))  # payoffs in, meta-strategy out
# [end:parts]


# [start:loop]
def evaluate(state: loop.PSROState) -> Evaluation:
    """Returns the exact figures of the state's mixture."""
    return evaluate_mixture(tree, state.populations, state.meta_strategy)


def converged(state: loop.PSROState) -> bool:
    """Returns True if no player can gain by an exact best response."""
    return bool(evaluate(state).per_player_gain.max() < 1e-7)


parts = {"oracle": oracle, "meta_game": meta_game, "loop": psro}
start = loop.initialise(meta_game, psro)
print(f"uniform players: exploitability {evaluate(start).exploitability:.4f}")
for state in loop.run(start, seed=0, iterations=20, converged=converged, **parts):
    print(f"iteration {state.iteration}: exploitability {evaluate(state).exploitability:.4f}")
# [end:loop]

# [start:result]
figures = evaluate(state)
print("policies of each player:", [len(population) for population in state.populations])
print("value of the game to the first player:", round(float(figures.expected_returns[0]), 4))
np.testing.assert_allclose(figures.expected_returns[0], -1 / 18, atol=1e-6)
# [end:result]
