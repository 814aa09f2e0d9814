"""Best responses by reinforcement learning on the device.

One jitted program (see `training.py`) trains all players' responses of an iteration side by side, each in a
lane. If some responses are weak, all lanes train further ones for these players. Every response's exact gain
is measured, and the best response is taken.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.evaluation.exact import best_response_gain, response_gains
from acme_psro.games import rollout, traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask, Counts, Oracle, Response
from acme_psro.oracles.device.experience import observe
from acme_psro.oracles.device.training import DeviceConfig, OpponentProfiles, Train, Trained, make_train
from acme_psro.policies.tabular import Policy, average_plan, make_policy, meta_strategy_plan
from agents.core import AgentCore, Observation

# (example observation `[1, ..]`, number of actions, gradient steps planned) -> the agent.
MakeAgent = Callable[[Observation, int, int], AgentCore]


def make_oracle(
    tree: GameTree, make_agent: MakeAgent, config: DeviceConfig, tolerance: float = 1e-9
) -> Oracle[Policy, np.ndarray]:
    """Returns an oracle of learned best responses on a compiled game.

    A response plays the agent's most probable action everywhere, at the snapshot that gains most exactly.

    Args:
      tree: the compiled game.
      make_agent: makes the agent that learns.
      config: the budget of a response.
      tolerance: a response is kept if it gains more than this over the mixture. Otherwise it is dropped and
        the population stays as it is. No further responses are trained for a player who cannot gain more.
    """
    game = rollout.make_arrays(tree)
    steps = config.num_snapshots * config.rounds_per_snapshot * config.updates_per_round
    core = make_agent(observe(game, jnp.zeros(1, jnp.int32), jnp.zeros((1, 0))), tree.num_actions, steps)
    train = jax.jit(jax.vmap(make_training_against(make_train(tree, game, core, config), config)))
    rounds = config.rounds_before_learning + steps // config.updates_per_round

    def respond(
        key: np.ndarray, tasks: Sequence[BestResponseTask[Policy, np.ndarray]]
    ) -> list[Response[Policy]]:
        next_key = jax.random.wrap_key_data(jnp.asarray(key))
        players = np.array([task.player for task in tasks], np.int32)
        plans = [meta_strategy_plan(tree, task.populations, task.meta_strategy) for task in tasks]
        pairs = list(zip(plans, tasks, strict=True))
        tables = np.stack([_opponents(tree, plan, task) for plan, task in pairs]).astype(np.float32)
        # Every snapshot gains more than the results before any training.
        responses = [
            Response[Policy](None, -np.inf, best_response_gain(tree, plan, task.player))
            for plan, task in pairs
        ]
        weak = list(range(len(tasks)))
        for _ in range(1 + config.max_extensions):
            # Always as many lanes as tasks: with another number the program would be compiled again. Weak
            # players fill the lanes in turn, each lane with its own key.
            lanes = list(itertools.islice(itertools.cycle(weak), len(tasks)))
            train_key, next_key = jax.random.split(next_key)
            keys = jax.random.split(train_key, len(lanes))
            trained = train(keys, jnp.asarray(players[lanes]), jnp.asarray(tables[lanes]))
            # The agents' states are large and not needed any more, so they are not copied from the device.
            trained = jax.tree.map(np.asarray, trained._replace(state=None))
            for lane, task in enumerate(lanes):
                mine = jax.tree.map(lambda values, lane=lane: values[lane], trained)
                better = _improve(tree, plans[task], tasks[task].player, responses[task], mine, tolerance)
                # Work counts even if its response is not the one that is kept.
                work = Counts(int(mine.episodes), rounds * config.num_envs, steps)
                responses[task] = dataclasses.replace(better, counts=better.counts + work)
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
    """Returns training for a `BestResponseTask`, with an agent that has one member.

    Returns:
      (key, player, tables `[2, I, A]` of the others' meta-strategy and of their average policy) -> Trained.
    """

    def train_against(key: jax.Array, player: jax.Array, tables: jax.Array) -> Trained:
        opponents = OpponentProfiles(
            tables=tables,
            weights=jnp.array([1.0 - config.trembles, config.trembles]),
            members=jnp.zeros(2, jnp.int32),
            contexts=jnp.zeros((1, 0)),
            decision_weights=jnp.array([1.0, config.tremble_weight]),
        )
        return train(key, player, opponents)

    return train_against


def _opponents(tree: GameTree, plan: np.ndarray, task: BestResponseTask[Policy, np.ndarray]) -> np.ndarray:
    """Returns `[2, I, A]`: tables of the others' meta-strategy, whose plan is given, and average policy."""
    plans = (plan, average_plan(tree, task.populations))
    return np.stack([traverse.behaviour(tree, each) for each in plans])


def _improve(
    tree: GameTree,
    plan: np.ndarray,
    player: int,
    response: Response[Policy],
    trained: Trained,
    tolerance: float,
) -> Response[Policy]:
    """Returns the response, or the best snapshot of a training if that gains more."""
    rows = tree.infosets_of(player)
    legal = tree.legal_actions[rows]
    # Illegal actions have probability 0, and so may legal ones: -1 keeps argmax on legal actions.
    choices = [np.where(legal, snapshot[rows], -1.0).argmax(axis=1) for (snapshot,) in trained.probs]
    policies = [make_policy(tree, player, np.eye(tree.num_actions)[choice]) for choice in choices]
    gains = response_gains(tree, plan, player, policies)
    for policy, gain in zip(policies, gains, strict=True):
        if gain > response.gain:
            metrics = {name: float(value) for name, value in trained.metrics.items()}
            kept = policy if gain > tolerance else None
            response = dataclasses.replace(response, gain=gain, policy=kept, metrics=metrics)
    return response
