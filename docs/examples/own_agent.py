"""An agent of your own: linear Q-learning, which learns best responses in PSRO on the device."""

# [start:imports]
from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles.device import oracle as device
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from agents.actions import discrete_acting
from agents.core import AgentCore, Key, Metrics, Observation, Transition

# [end:imports]


# [start:state]
class State(NamedTuple):
    """Everything that learning needs.

    Attributes:
      weights: `[D, A]` float32, from observations to the values of actions.
      step: `[]` int32, the number of updates.
    """

    weights: jax.Array
    step: jax.Array


# [end:state]


# [start:agent]
def make_core(example: Observation, num_actions: int, gradient_steps: int) -> AgentCore:
    """Makes the agent; the learning rate falls to zero within the planned gradient steps."""

    def values(weights: jax.Array, observation: Observation) -> jax.Array:
        return jnp.where(observation.legal_actions, observation.info_state @ weights, -jnp.inf)

    def init(key: Key) -> State:
        del key  # all values start at 0
        return State(jnp.zeros((example.info_state.shape[-1], num_actions)), jnp.int32(0))

    def update(state: State, batch: Transition) -> tuple[State, Metrics]:
        # Row `now` was observed at a decision, row `then` at the player's next one.
        future = values(state.weights, batch.observation).max(axis=1)[batch.then]
        target = batch.reward + batch.discount * jnp.where(batch.discount > 0, future, 0.0)

        def loss(weights: jax.Array) -> jax.Array:
            chosen = (batch.observation.info_state @ weights)[batch.now, batch.action]
            return jnp.sum(batch.weight * (target - chosen) ** 2) / jnp.maximum(batch.weight.sum(), 1.0)

        value, gradient = jax.value_and_grad(loss)(state.weights)
        rate = 1.0 - state.step / gradient_steps
        return State(state.weights - rate * gradient, state.step + 1), {"loss": value}

    def log_probs(weights: jax.Array, observation: Observation) -> jax.Array:
        return jax.nn.log_softmax(values(weights, observation) / 0.02)

    acting = discrete_acting(log_probs, exploration=0.3)
    return AgentCore(init, update, variables=lambda state: state.weights, **acting._asdict())


# [end:agent]

# [start:run]
tree = compile_game("kuhn_poker")
budget = DeviceConfig(gradient_steps=200, num_envs=512, batch_size=512)
meta_game = ExactMetaGame(tree)
psro = meta_solving.make_loop(meta_game, get_solver("nash"))
parts = {"oracle": device.make_oracle(tree, make_core, budget), "meta_game": meta_game, "loop": psro}
start = loop.initialise(meta_game, psro)
for state in loop.run(start, seed=0, iterations=6, converged=lambda state: False, **parts):
    figures = evaluate_mixture(tree, state.populations, state.meta_strategy)
    gaps = ", ".join(f"{abs(each.best_gain - each.gain):.3f}" for each in state.responses)
    print(f"iteration {state.iteration}: exploitability {figures.exploitability:.3f}, gaps {gaps}")
# [end:run]
assert figures.exploitability < 0.15
