"""A meta-solver of your own, in the same loop."""

# [start:imports]
import numpy as np

from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver

# [end:imports]


# [start:solver]
def last_policies(payoffs: np.ndarray, *, count: int = 3) -> ProductStrategy:
    """Plays the newest policies of each player with equal probability.

    Args:
      payoffs: `[P, n_1, .., n_P]`; only the sizes of the populations matter here.
      count: the number of policies that are played.
    """
    marginals = []
    for size in payoffs.shape[1:]:
        newest = np.arange(size) >= size - count
        marginals.append(newest / newest.sum())
    return ProductStrategy(tuple(marginals))


# [end:solver]


# [start:compare]
tree = compile_game("kuhn_poker")
for name, solve in {"last_policies": last_policies, "nash": get_solver("nash")}.items():
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, solve)
    parts = {"oracle": exact.make_oracle(tree), "meta_game": meta_game, "loop": psro}
    start = loop.initialise(meta_game, psro)
    *_, state = loop.run(start, seed=0, iterations=10, converged=lambda state: False, **parts)
    figures = evaluate_mixture(tree, state.populations, state.meta_strategy)
    print(f"{name}: exploitability {figures.exploitability:.4f} after {state.iteration} iterations")
# [end:compare]
