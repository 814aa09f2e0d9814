"""Best responses by reinforcement learning on the device.

One jitted program trains all players' responses of an iteration side by side, each in a lane; see
`training.py` for what happens within. Where responses are weak, all lanes train others for these players.
Every response's exact gain is measured, and the best is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games import rollout, traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Oracle, Response
from acme_psro.oracles.device.experience import observe
from acme_psro.oracles.device.training import DeviceConfig, Opponents, Train, Trained, make_train
from acme_psro.policies.tabular import make_policy, mixture_plan, replace
from agents.core import AgentCore, Observation

# (example observation `[1, ..]`, number of actions, gradient steps planned) -> the agent.
MakeAgent = Callable[[Observation, int, int], AgentCore]


def make_oracle(
    tree: GameTree, make_agent: MakeAgent, config: DeviceConfig, tolerance: float = 1e-9
) -> Oracle:
    """An oracle of learned best responses on a compiled game.

    A response is the agent's most probable action everywhere, at the snapshot that gains most exactly.

    Args:
      tolerance: a response is kept if it gains more than this over the mixture, else dropped: the
        population stays as it is. A player who cannot gain more by any response is not trained on for.
    """
    game = rollout.make_arrays(tree)
    steps = config.num_snapshots * config.rounds_per_snapshot * config.updates_per_round
    core = make_agent(observe(game, jnp.zeros(1, jnp.int32), jnp.zeros((1, 0))), tree.num_actions, steps)
    train = jax.jit(jax.vmap(make_training_against(make_train(tree, game, core, config), config)))
    rounds = config.rounds_before_learning + steps // config.updates_per_round

    def respond(key: np.ndarray, tasks: Sequence[BestResponseTask]) -> list[Response]:
        next_key = jax.random.wrap_key_data(jnp.asarray(key))
        players = np.array([task.player for task in tasks], np.int32)
        tables = np.stack([_opponents(tree, task) for task in tasks]).astype(np.float32)
        responses = [_nothing_yet(tree, task) for task in tasks]
        weak = list(range(len(tasks)))
        for _ in range(1 + config.max_extensions):
            lanes = list(itertools.islice(itertools.cycle(weak), len(tasks)))
            train_key, next_key = jax.random.split(next_key)
            keys = jax.random.split(train_key, len(lanes))
            trained = train(keys, jnp.asarray(players[lanes]), jnp.asarray(tables[lanes]))
            trained = jax.tree.map(np.asarray, trained._replace(state=None))
            for lane, task in enumerate(lanes):
                mine = jax.tree.map(lambda values, lane=lane: values[lane], trained)
                better = _improve(tree, tasks[task], responses[task], mine, tolerance)
                responses[task] = better._replace(
                    episodes=better.episodes + int(mine.episodes),
                    env_steps=better.env_steps + rounds * config.num_envs,
                    gradient_steps=better.gradient_steps + steps,
                )
            weak = [
                task
                for task, response in enumerate(responses)
                if response.gain < config.enough * response.best_gain and response.best_gain > tolerance
            ]
            if not weak:
                break
        return responses

    return respond


def make_training_against(
    train: Train, config: DeviceConfig
) -> Callable[[jax.Array, jax.Array, jax.Array], Trained]:
    """Training for a `BestResponseTask`, of an agent that is one policy.

    Returns:
      (key, player, tables `[2, I, A]` of the others' meta-strategy and of their average policy) -> Trained.
    """

    def train_against(key: jax.Array, player: jax.Array, tables: jax.Array) -> Trained:
        opponents = Opponents(
            tables=tables,
            weights=jnp.array([1.0 - config.trembles, config.trembles]),
            members=jnp.zeros(2, jnp.int32),
            contexts=jnp.zeros((1, 0)),
            decision_weights=jnp.array([1.0, config.tremble_weight]),
        )
        return train(key, player, opponents)

    return train_against


def _opponents(tree: GameTree, task: BestResponseTask) -> np.ndarray:
    """`[2, I, A]`: what the others' meta-strategy and their average policy play."""
    evenly = [np.full(len(population), 1 / len(population)) for population in task.populations]
    weightings = (task.meta_strategy.marginals, evenly)
    plans = [mixture_plan(tree, task.populations, weights) for weights in weightings]
    return np.stack([traverse.behaviour(tree, plan) for plan in plans])


def _nothing_yet(tree: GameTree, task: BestResponseTask) -> Response:
    plan = mixture_plan(tree, task.populations, task.meta_strategy.marginals)
    best = traverse.best_response(tree, plan, task.player).value
    present = traverse.expected_returns(tree, plan)[task.player]
    return Response(policy=None, gain=-np.inf, best_gain=max(float(best - present), 0.0))


def _improve(
    tree: GameTree, task: BestResponseTask, response: Response, trained: Trained, tolerance: float
) -> Response:
    """The response, or the best snapshot of a training if that gains more."""
    plan = mixture_plan(tree, task.populations, task.meta_strategy.marginals)
    present = float(traverse.expected_returns(tree, plan)[task.player])
    rows = tree.infosets_of(task.player)
    legal = tree.legal_actions[rows]
    for (snapshot,) in trained.probs:
        choice = np.where(legal, snapshot[rows], -1.0).argmax(axis=1)
        policy = make_policy(tree, task.player, np.eye(tree.num_actions)[choice])
        returns = traverse.expected_returns(tree, replace(tree, plan, task.player, policy))
        gain = float(returns[task.player]) - present
        if gain > response.gain:
            metrics = {name: float(value) for name, value in trained.metrics.items()}
            kept = policy if gain > tolerance else None
            response = response._replace(gain=gain, policy=kept, metrics=metrics)
    return response
