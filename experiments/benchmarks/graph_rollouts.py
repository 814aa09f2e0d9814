"""Moves per second of random play on a game's graph, beside one vectorised actor of a program.

python -m experiments.benchmarks.graph_rollouts --game=phantom_ttt

Ours plays many games at a time on the device, all players uniformly, and finishes each game that it starts.
The actor is that of `experiments.benchmarks.acting`: CrossQ's policy, untrained, plays one player in several
games at a time, against uniform opponents, and writes its experience to a Reverb server. Both are counted in
moves of any player. The actor's are its decisions times the moves for each decision under uniform play.
"""

from __future__ import annotations

import functools
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from acme_psro.commands import command_line
from acme_psro.games import rollout, sweeps
from acme_psro.games.compile_graph import DEFAULT_MAX_NODES, compile_graph, describe_view
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.graph import GameGraph
from acme_psro.games.profiles import make_profiles
from experiments.benchmarks.shared import table

flags.DEFINE_string("game", "phantom_ttt", "OpenSpiel game string.")
flags.DEFINE_integer("max_nodes", DEFAULT_MAX_NODES, "Largest number of nodes of the graph.")
flags.DEFINE_integer("lanes", 16_384, "Games that ours plays in parallel.")
flags.DEFINE_integer("games_per_lane", 50, "Games that ours plays one after the other in a lane.")
flags.DEFINE_integer("games_per_actor", 16, "Games that the program's actor plays in parallel.")
flags.DEFINE_integer("actor_steps", 10_000, "Decisions of a repetition of the program's actor.")
flags.DEFINE_integer("repetitions", 3, "Repetitions of each side; the median speed is reported.")
flags.DEFINE_integer("seed", 0, "Random seed of both sides.")

FLAGS = flags.FLAGS

_LEAST_SPEEDUP = 300
_STANDARD_ERRORS = 4


class Lengths(NamedTuple):
    """Expected numbers of an episode of uniform play.

    Attributes:
      moves: moves of any player.
      decisions: moves of player 0.
    """

    moves: float
    decisions: float


def expected_lengths(graph: GameGraph) -> Lengths:
    """Computes the expected numbers of moves of an episode of uniform play, those of chance left out."""
    visits = sweeps.observation_visits(graph, graph.uniform_policy())
    return Lengths(float(visits.sum()), float(visits[graph.observations_of(0)].sum()))


def measure_ours(graph: GameGraph) -> tuple[float, np.ndarray]:
    """Returns episodes per second, the median of the repetitions, and mean returns `[P]` of all."""
    game = make_arrays(graph)
    tables = jnp.asarray(graph.uniform_policy(), jnp.float32)[None]
    profiles = make_profiles(game, tables, jnp.ones(1))
    play = jax.jit(
        functools.partial(rollout.play, num_lanes=FLAGS.lanes, games_per_lane=FLAGS.games_per_lane)
    )
    first, *keys = jax.random.split(jax.random.key(FLAGS.seed), FLAGS.repetitions + 1)
    play(game, profiles, first).block_until_ready()
    speeds, means = [], []
    for key in keys:
        began = time.perf_counter()
        means.append(np.asarray(play(game, profiles, key)))
        speeds.append(FLAGS.lanes * FLAGS.games_per_lane / (time.perf_counter() - began))
    return statistics.median(speeds), np.mean(means, axis=0)


def measure_actor(game: str) -> float:
    """Returns the decisions per second of a program's actor."""
    # It imports Acme and TensorFlow, which the device does without.
    from experiments.benchmarks.acting import sides

    settings = sides.Settings(
        games_per_actor=FLAGS.games_per_actor,
        # The other side of that benchmark is of no interest here.
        loop_steps=1,
        batched_steps=FLAGS.actor_steps,
        repetitions=FLAGS.repetitions,
        seed=FLAGS.seed,
    )
    return 1.0 / sides.measure(game, False, settings)[sides.OURS]


def main() -> None:
    """Measures both sides and prints the results."""
    with command_line.bad_input():
        table.check_counts(
            "max_nodes", "lanes", "games_per_lane", "games_per_actor", "actor_steps", "repetitions"
        )
        began = time.perf_counter()
        graph = compile_graph(FLAGS.game, FLAGS.max_nodes)
    table.print_machine()
    print(
        f"{graph.num_nodes:,} nodes, {graph.num_edges:,} moves, {graph.num_observations:,} observations, "
        f"compiled or read in {table.seconds(time.perf_counter() - began)}; {describe_view(graph)}\n"
    )
    lengths = expected_lengths(graph)
    episodes, means = measure_ours(graph)
    decisions = measure_actor(FLAGS.game)
    ours, actor = episodes * lengths.moves, decisions * lengths.moves / lengths.decisions
    rows = [
        [f"device, {FLAGS.lanes:,} games at a time", f"{ours:,.0f}", ""],
        [f"actor, {FLAGS.games_per_actor} games at a time", f"{actor:,.0f}", f"{ours / actor:,.0f} times"],
    ]
    table.print_table(["random play", "moves/s", "ours is faster"], rows)
    table.print_bar(f"at least {_LEAST_SPEEDUP} times one actor", ours >= _LEAST_SPEEDUP * actor)
    exact = sweeps.expected_returns(graph, graph.uniform_policy())
    # No return is further from its mean than twice the largest one.
    error = 2 * graph.utility_scale / (FLAGS.lanes * FLAGS.games_per_lane * FLAGS.repetitions) ** 0.5
    off = float(np.abs(means - exact).max() / error)
    table.print_bar(
        f"mean returns within {_STANDARD_ERRORS} standard errors of the exact ones, {off:.1f} at most",
        off <= _STANDARD_ERRORS,
    )


if __name__ == "__main__":
    command_line.run(main)
