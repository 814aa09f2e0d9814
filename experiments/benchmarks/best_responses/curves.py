"""Measurement and printing of the gaps of learned best responses during training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.on_policy import make_agent_train
from acme_psro.oracles.device.training import OpponentProfiles
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_learner
from experiments.benchmarks.shared import many_responses, table

_MOST_GAP = 0.03
_MOST_TIME = 1.5


class Curve(NamedTuple):
    """Results of training one agent against one opponent.

    Attributes:
      gaps: `[seeds * players, snapshots]`, the relative gap of the best snapshot so far.
      seconds: time to train all players once, without compilation, the median over seeds.
      compile_seconds: additional time of the first training.
    """

    gaps: np.ndarray
    seconds: float
    compile_seconds: float

    def seconds_to(self, gap: float) -> float:
        """Returns the seconds until the median gap is at most `gap`, or infinity if it never is."""
        reached = np.flatnonzero(np.median(self.gaps, axis=0) <= gap)
        share = (reached[0] + 1) / self.gaps.shape[1] if len(reached) else np.inf
        return float(self.seconds * share)


def make_opponents(tree: GameTree, iterations: int) -> dict[str, np.ndarray]:
    """Returns realisation plans `[S]` of uniform players and of exact PSRO's mixture after `iterations`."""
    first, *_, last = many_responses.mixtures(tree, iterations + 1)
    return {"uniform": first, "mixture": last}


def make_training(
    tree: GameTree, agent: str, device: DeviceConfig, agent_settings: dict[str, object]
) -> Callable[[int, np.ndarray], np.ndarray]:
    """Makes a function (seed, opponents' table `[I, A]`) -> policies `[players, snapshots, I, A]`."""
    config = PSROConfig(tree.game_string, agent=agent, agent_settings=agent_settings)
    players = jnp.arange(tree.num_players)
    alone = OpponentProfiles(
        jnp.zeros((1, tree.num_infosets, tree.num_actions)),
        jnp.ones(1),
        jnp.zeros(1, jnp.int32),
        jnp.zeros((1, 0)),
        jnp.ones(1),
    )
    train = make_agent_train(tree, make_learner(config), device)

    @jax.jit
    def train_all(keys: jax.Array, opponents: jax.Array) -> jax.Array:
        against = alone._replace(tables=opponents[None])
        return jax.vmap(lambda key, player: train(key, player, against).probs[:, 0])(keys, players)

    def run(seed: int, opponents: np.ndarray) -> np.ndarray:
        keys = jax.random.split(jax.random.key(seed), tree.num_players)
        return np.asarray(train_all(keys, jnp.asarray(opponents, jnp.float32)))

    return run


def measure(tree: GameTree, plan: np.ndarray, run: Callable, seeds: list[int]) -> Curve:
    """Trains once for each seed, after an additional first training that compiles."""
    seconds, gaps = [], []
    policy_table = traverse.behaviour(tree, plan)
    opponents = [many_responses.make_opponent(tree, player, plan) for player in range(tree.num_players)]
    began = time.monotonic()
    run(seeds[0], policy_table)
    first = time.monotonic() - began
    for seed in seeds:
        began = time.monotonic()
        probs = run(seed, policy_table)
        seconds.append(time.monotonic() - began)
        for player, opponent in enumerate(opponents):
            own = many_responses.relative_gaps(tree, player, [opponent], probs[player][:, None])
            gaps.append(own[:, 0])
    typical = statistics.median(seconds)
    return Curve(np.asarray(gaps), typical, max(first - typical, 0.0))


def print_curves(curves: dict[str, dict[str, Curve]]) -> None:
    """Prints a table and the bars for each opponent."""
    for opponent, by_agent in curves.items():
        rows = []
        for agent, curve in by_agent.items():
            gaps = 100 * np.maximum(curve.gaps[:, -1], 0.0)
            cells = [f"{np.median(gaps):.2f}", f"{gaps.max():.2f}", f"{curve.seconds_to(_MOST_GAP):.1f}"]
            rows.append([agent, *cells, f"{curve.seconds:.1f}", f"{curve.compile_seconds:.1f}"])
        print(f"against {opponent}")
        columns = ["agent", "median gap %", "worst %", "seconds to 3 %", "whole budget", "compilation"]
        table.print_table(columns, rows)
        for agent, curve in by_agent.items():
            gap = max(float(np.median(curve.gaps[:, -1])), 0.0)
            table.print_bar(f"{opponent}: {agent}'s gap {100 * gap:.2f} %, 3 at most", gap <= _MOST_GAP)
        times = {agent: curve.seconds_to(_MOST_GAP) for agent, curve in by_agent.items()}
        if {"crossq", "conditional_mpo"} <= times.keys():
            ours, other = times["conditional_mpo"], times["crossq"]
            what = (
                f"{opponent}: conditional_mpo's time to 3 %, {ours:.1f} s, 1.5 times CrossQ's {other:.1f} s"
            )
            table.print_bar(what, ours <= _MOST_TIME * other < np.inf)
