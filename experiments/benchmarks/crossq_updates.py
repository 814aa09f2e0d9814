"""Gradient steps per second of continuous CrossQ, ours and sbx-rl's, at equal widths.

python -m experiments.benchmarks.crossq_updates --widths=256,1024 --rounds=5

Observations and actions have the sizes of HalfCheetah. Batches have 256 rows, there are two critics with two
hidden layers, the policy has layers of 256 and 256 units and is updated in every third step, and batch
renormalisation has its default settings. Each side draws its batches from a full buffer in the host's memory.
Each side is timed in two ways: with one step in a call, as in training with one gradient step for each env
step, and with many steps in a call, which is its best case. In both cases the result of a call is awaited.
The faster way counts.

The measurements of the two sides alternate, so that a change of the machine's speed affects both, and each
side is idle while the other is measured. Programs are compiled before. `update_operations` describes how
operations are counted.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

import jax
import jax.numpy as jnp
from absl import flags

from acme_psro.commands import command_line
from agents import crossq
from experiments.benchmarks.peers import environment as peer_environment
from experiments.benchmarks.peers.conversation import Conversation
from experiments.benchmarks.shared import number_lists, table
from experiments.benchmarks.shared.scanned_updates import Experience, Updates, make_experience
from experiments.benchmarks.shared.update_operations import Sizes, operations, product_rate

flags.DEFINE_list("widths", ["256", "1024"], "Widths of the critics' two hidden layers.")
flags.DEFINE_integer(
    "gradient_steps", 300, "Steps in a long call, and number of timed short calls; a multiple of 3."
)
flags.DEFINE_integer("rounds", 5, "Alternating measurements of each side; medians are reported.")

FLAGS = flags.FLAGS

_OURS, _PEER = "acme_psro", "sbx-rl"
_LEAST_SPEEDUP = {256: 1.5, 1024: 1.1}
_SQUARE = 2048


def make_updates(sizes: Sizes, width: int, experience: Experience) -> Updates:
    """Makes our CrossQ with critics of one width."""
    config = crossq.CrossQConfig(
        critic_hidden_sizes=(width, width), policy_hidden_sizes=(sizes.policy_width,) * 2
    )
    if (config.num_critics, config.policy_delay) != (sizes.num_critics, sizes.policy_delay):
        raise AssertionError("CrossQ's defaults are not those of the comparison any more.")
    bounds = crossq.Bounds(*(jnp.full(sizes.action_size, side) for side in (-1.0, 1.0)))
    networks = crossq.make_networks(jnp.zeros((1, sizes.observation_size)), bounds, config)
    return Updates(crossq.make_core(networks, config), experience, sizes.batch_size)


class Measured(NamedTuple):
    """Measurements at one width.

    Attributes:
      speeds: updates per second of each round, by side and gradient steps in a call.
      chain: operations per second of matrix products of the shape of a critic's layer.
      square: operations per second of large square matrix products.
    """

    speeds: dict[tuple[str, int], list[float]]
    chain: float
    square: float


def measure(peer: Conversation, sizes: Sizes, width: int, experience: Experience) -> Measured:
    """Measures both sides alternately."""
    ours, steps = make_updates(sizes, width, experience), FLAGS.gradient_steps
    rates = {"chain": product_rate(2 * sizes.batch_size, width), "square": product_rate(_SQUARE, _SQUARE)}

    def ask(gradient_steps: int, updates: int) -> float:
        question = {"width": width, "gradient_steps": gradient_steps, "updates": updates}
        return float(peer.ask(question)["seconds"])

    sides = {_OURS: ours.seconds, _PEER: ask}
    for side in sides.values():
        for gradient_steps in (1, steps):
            # This call compiles. It does a multiple of the policy delay, so that policy updates fall on the
            # same steps of every later call.
            side(gradient_steps, max(gradient_steps, sizes.policy_delay))
    speeds: dict[tuple[str, int], list[float]] = {}
    measured: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(FLAGS.rounds):
        for name, rate in rates.items():
            measured[name].append(rate())
        for gradient_steps in (1, steps):
            for name, side in sides.items():
                speeds.setdefault((name, gradient_steps), []).append(steps / side(gradient_steps, steps))
    return Measured(speeds, statistics.median(measured["chain"]), statistics.median(measured["square"]))


def print_measured(sizes: Sizes, width: int, measured: Measured) -> None:
    """Prints the table of a width and its bar."""
    needed = operations(sizes, width)
    print(f"critics of {width} and {width}: {needed / 1e9:.3f} G operations an update")
    print(
        f"float32 products [{2 * sizes.batch_size}, {width}] x [{width}, {width}]: "
        f"{measured.chain / 1e9:,.0f} G operations/s, of which the share below is; "
        f"{_SQUARE} square: {measured.square / 1e9:,.0f}"
    )
    medians = {key: statistics.median(values) for key, values in measured.speeds.items()}
    rows = []
    for (name, gradient_steps), values in measured.speeds.items():
        speed = medians[name, gradient_steps]
        faster = table.speedup(1 / medians[_OURS, gradient_steps], 1 / speed) if name == _PEER else ""
        rows.append(
            [
                f"{name}, {gradient_steps} in a call",
                f"{speed:,.1f}",
                f"{min(values):,.1f} to {max(values):,.1f}",
                f"{speed * needed / 1e9:,.0f}",
                f"{speed * needed / measured.chain:.0%}",
                faster,
            ]
        )
    table.print_table(["side", "updates/s", "range", "G operations/s", "share", "ours is faster"], rows)
    best = {name: max(medians[key] for key in medians if key[0] == name) for name in (_OURS, _PEER)}
    ratio, least = best[_OURS] / best[_PEER], _LEAST_SPEEDUP.get(width)
    wanted = f"{least} times" if least else "times"
    what = f"width {width}, {wanted} as many updates/s as {_PEER}, the best of each"
    print_ratio = f"{best[_OURS]:,.1f} against {best[_PEER]:,.1f}, {ratio:.2f} times"
    table.print_bar(f"{what}: {print_ratio}", ratio >= least if least else None)
    print()


def main() -> None:
    """Measures both sides at each width."""
    jax.config.update("jax_platforms", "cpu")
    sizes = Sizes()
    with command_line.bad_input():
        table.check_counts("gradient_steps", "rounds")
        if FLAGS.gradient_steps % sizes.policy_delay:
            raise ValueError(
                f"--gradient_steps must be a multiple of the policy's delay, {sizes.policy_delay}, not "
                f"{FLAGS.gradient_steps}."
            )
        widths = number_lists.whole_numbers("widths", 1)
        python = peer_environment.from_flags()
    names = ("observation_size", "action_size", "policy_width", "batch_size", "buffer_size")
    arguments = [f"--{name}={getattr(sizes, name)}" for name in names]
    experience = make_experience(sizes)
    with Conversation(python, "sbx_updates", arguments) as peer:
        versions = ", ".join(f"{name} {version}" for name, version in peer.greeting["versions"].items())
        print(f"gradient steps of continuous CrossQ on the CPU; medians of {FLAGS.rounds} rounds in turn")
        table.print_machine()
        print(f"peer: {versions}\n", flush=True)
        for width in widths:
            print_measured(sizes, width, measure(peer, sizes, width, experience))


if __name__ == "__main__":
    command_line.run(main)
