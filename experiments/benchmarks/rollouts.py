"""Episodes per second of uniform players, with our rollouts and with Python loops over pyspiel.

python -m experiments.benchmarks.rollouts --game=leduc_poker

There are two Python loops: that of OpenSpiel's own `examples/example.py` without its output, and the fastest
plain loop that we could write. Ours may use all cores, and a Python loop uses one.
"""

from __future__ import annotations

import functools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import pyspiel
from absl import flags

from acme_psro.commands import command_line
from acme_psro.games import rollout, traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.loading import load_game
from acme_psro.games.profiles import make_profiles
from acme_psro.games.tree import GameTree
from acme_psro.system import cores
from experiments.benchmarks.shared import table

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string.")
flags.DEFINE_integer("lanes", 1024, "Games that ours plays in parallel.")
flags.DEFINE_integer("games_per_lane", 1000, "Games that ours plays one after the other in a lane.")
flags.DEFINE_integer("peer_episodes", 10_000, "Games of a repetition of each Python loop.")
flags.DEFINE_integer("repetitions", 5, "Repetitions of each side; the median speed is reported.")
flags.DEFINE_integer("seed", 0, "Random seed of all sides.")

FLAGS = flags.FLAGS

_OURS, _EXAMPLE, _FASTEST = (
    "acme_psro rollout.play",
    "pyspiel, loop of example.py",
    "pyspiel, fastest Python loop",
)
_LEAST_SPEEDUP = 150
_STANDARD_ERRORS = 4

# (game, episodes) -> the returns of each episode `[episodes][P]`.
Loop = Callable[[pyspiel.Game, int], list[list[float]]]


def example_loop(game: pyspiel.Game, episodes: int) -> list[list[float]]:
    """Plays games like OpenSpiel's example: NumPy draws chance outcomes and `random.choice` actions."""
    returns = []
    for _ in range(episodes):
        state = game.new_initial_state()
        while not state.is_terminal():
            if state.is_chance_node():
                actions, probabilities = zip(*state.chance_outcomes(), strict=True)
                action = np.random.choice(actions, p=probabilities)  # noqa: NPY002 - as the example does
            else:
                action = random.choice(state.legal_actions(state.current_player()))
            state.apply_action(action)
        returns.append(state.returns())
    return returns


def fastest_loop(game: pyspiel.Game, episodes: int) -> list[list[float]]:
    """Plays games with as few calls of pyspiel as possible, and without NumPy."""
    draw = random.random
    chance, terminal = int(pyspiel.PlayerId.CHANCE), int(pyspiel.PlayerId.TERMINAL)
    returns = []
    for _ in range(episodes):
        state = game.new_initial_state()
        while (player := state.current_player()) != terminal:
            if player == chance:
                left = draw()
                for action, probability in state.chance_outcomes():  # noqa: B007 - used behind the loop
                    left -= probability
                    if left < 0:
                        break
            else:
                legal = state.legal_actions()
                action = legal[int(draw() * len(legal))]
            state.apply_action(action)
        returns.append(state.returns())
    return returns


class Side(NamedTuple):
    """Measurements of a side.

    Attributes:
      speeds: episodes per second of each repetition.
      mean: `[P]`, mean returns over all repetitions.
      episodes: the number of episodes of all repetitions.
    """

    speeds: list[float]
    mean: np.ndarray
    episodes: int

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds)


def measure_ours(tree: GameTree, keys: Sequence[jax.Array]) -> tuple[Side, float]:
    """Measures our side, with one repetition for each key; also returns the seconds of compilation."""
    game = make_arrays(tree)
    tables = jax.numpy.asarray(tree.uniform_policy(), jax.numpy.float32)[None]
    profiles = make_profiles(game, tables, jax.numpy.ones(1))
    play = functools.partial(rollout.play, num_lanes=FLAGS.lanes, games_per_lane=FLAGS.games_per_lane)
    began = time.perf_counter()
    compiled = jax.jit(play).lower(game, profiles, keys[0]).compile()
    compile_seconds = time.perf_counter() - began
    compiled(game, profiles, keys[0]).block_until_ready()
    speeds, means, episodes = [], [], FLAGS.lanes * FLAGS.games_per_lane
    for key in keys:
        began = time.perf_counter()
        means.append(np.asarray(compiled(game, profiles, key)))
        speeds.append(episodes / (time.perf_counter() - began))
    return Side(speeds, np.mean(means, axis=0), episodes * len(keys)), compile_seconds


def measure_loop(loop: Loop, game: pyspiel.Game) -> tuple[Side, np.ndarray]:
    """Measures a Python loop; also returns the standard deviation `[P]` of an episode's returns."""
    speeds, returns = [], []
    for _ in range(FLAGS.repetitions):
        began = time.perf_counter()
        returns += loop(game, FLAGS.peer_episodes)
        speeds.append(FLAGS.peer_episodes / (time.perf_counter() - began))
    return Side(speeds, np.mean(returns, axis=0), len(returns)), np.std(returns, axis=0)


def print_speeds(sides: dict[str, Side]) -> None:
    """Prints the table of speeds and the bars."""
    ours = sides[_OURS].speed
    rows = [
        [
            name,
            f"{side.episodes:,}",
            f"{side.speed:,.0f}",
            f"{min(side.speeds):,.0f} to {max(side.speeds):,.0f}",
            "" if name == _OURS else table.speedup(1 / ours, 1 / side.speed),
        ]
        for name, side in sides.items()
    ]
    table.print_table(["side", "episodes", "episodes/s", "range", "ours is faster"], rows)
    for name in (_EXAMPLE, _FASTEST):
        ratio = ours / sides[name].speed
        table.print_bar(
            f"in Leduc poker {_LEAST_SPEEDUP} times as fast as {name}, {ratio:,.0f} times",
            ratio >= _LEAST_SPEEDUP if FLAGS.game.startswith("leduc_poker") else None,
        )
    print()


def print_means(sides: dict[str, Side], exact: np.ndarray, deviation: np.ndarray) -> None:
    """Prints mean returns beside the exact ones, and the bar on their distance in standard errors."""
    rows, largest = [], 0.0
    for name, side in sides.items():
        error = np.maximum(deviation / np.sqrt(side.episodes), 1e-9)
        off = np.abs(side.mean - exact) / error
        largest = max(largest, float(off.max()))
        rows.append([name, *(f"{m:+.5f} ± {e:.5f}" for m, e in zip(side.mean, error, strict=True))])
    rows.append(["exact", *(f"{value:+.5f}" for value in exact)])
    table.print_table(["mean return", *(f"player {p}" for p in range(len(exact)))], rows)
    table.print_bar(
        f"means within {_STANDARD_ERRORS} standard errors of the exact ones, {largest:.1f} at most",
        largest <= _STANDARD_ERRORS,
    )


def main() -> None:
    """Measures all sides and prints the results."""
    with command_line.bad_input():
        table.check_counts("lanes", "games_per_lane", "peer_episodes", "repetitions")
        tree = compile_game(FLAGS.game)
        game = load_game(FLAGS.game)
    random.seed(FLAGS.seed)
    np.random.seed(FLAGS.seed)  # noqa: NPY002 - the example draws from the global generator
    print(f"random episodes of {tree.game_string}; medians of {FLAGS.repetitions} repetitions")
    table.print_machine()
    keys = jax.random.split(jax.random.key(FLAGS.seed), FLAGS.repetitions)
    ours, compile_seconds = measure_ours(tree, list(keys))
    example, deviation = measure_loop(example_loop, game)
    fastest, _ = measure_loop(fastest_loop, game)
    print(
        f"ours: {FLAGS.lanes:,} lanes of {FLAGS.games_per_lane:,} games on {jax.devices()[0].platform}, "
        f"{cores.count()} cores at its disposal, traced and compiled in "
        f"{table.seconds(compile_seconds)} (not counted below); the Python loops use one core\n"
    )
    sides = {_OURS: ours, _EXAMPLE: example, _FASTEST: fastest}
    print_speeds(sides)
    exact = traverse.expected_returns(tree, traverse.realisation_plan(tree, tree.uniform_policy()))
    print_means(sides, exact, deviation)


if __name__ == "__main__":
    command_line.run(main)
