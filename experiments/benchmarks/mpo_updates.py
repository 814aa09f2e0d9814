"""Gradient steps per second of our conditional MPO and our CrossQ, at equal widths.

python -m experiments.benchmarks.mpo_updates --widths=256 --rounds=5

Continuous actions use the sizes of walker-walk and the default settings of both agents. Discrete actions use
the sizes of Leduc poker and the settings of both agents for games. Networks have two hidden layers of the
given width. Batches have 256 decisions, each with the observations before and after it. Many updates form one
jitted scan over batches that were drawn on the host, and the measurements of the two sides alternate.

A second table shows the time of the parts of MPO's update. Each part is a separate jitted function and call,
so their sum is a little more than the time of an update. If every update also updates the policy, the
critic's target and the E-step's values are computed together. They are then listed as parts of their common
computation, and both include what they share: the target policy, and in games the target critic.

Only the operations of matrix products are counted. Parts that are not done in every update, such as updates
of the policy, count with their frequency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from acme_psro.commands import command_line
from agents import conditional_mpo, crossq, settings
from agents.conditional_mpo import learning
from agents.conditional_mpo.base import EvaluationParams
from agents.core import AgentCore, Transition
from experiments.benchmarks.shared import number_lists, table
from experiments.benchmarks.shared.scanned_updates import (
    Experience,
    Updates,
    make_experience,
    make_game_experience,
)
from experiments.benchmarks.shared.update_operations import Sizes, count_products

flags.DEFINE_list("widths", ["256"], "Widths of the two hidden layers of every network.")
flags.DEFINE_list("kinds", ["continuous", "discrete"], "Kinds of actions: continuous, discrete.")
flags.DEFINE_integer("batch_size", 256, "Decisions in the batch of an update.")
flags.DEFINE_integer("gradient_steps", 30, "Updates in a call; a multiple of CrossQ's policy delay.")
flags.DEFINE_integer("rounds", 5, "Alternating measurements of each side; medians are reported.")

FLAGS = flags.FLAGS

_MPO, _CROSSQ = "conditional MPO", "CrossQ"
_MOST_TIME = 1.3


class Task(NamedTuple):
    """Task with continuous or discrete actions.

    Attributes:
      preset: name of the preset of both agents.
      sizes: sizes of observations, actions and the buffer.
      make_experience: makes the transitions in the buffer.
    """

    preset: str
    sizes: Sizes
    make_experience: Callable[[Sizes], Experience]


_TASKS = {
    "continuous": Task("default", Sizes(24, 6), make_experience),
    "discrete": Task("games", Sizes(30, 3), make_game_experience),
}


class Side(NamedTuple):
    """An agent at one width, and the fraction of its updates that also update the policy."""

    core: AgentCore
    policy_share: float


def make_sides(task: Task, width: int, experience: Experience) -> dict[str, Side]:
    """Makes both agents at one width, by name."""
    example = jax.tree.map(lambda values: jnp.asarray(values[:1]), experience.observation)
    is_discrete = np.issubdtype(experience.action.dtype, np.integer)
    size = task.sizes.action_size
    actions = size if is_discrete else crossq.Bounds(*(jnp.full(size, side) for side in (-1.0, 1.0)))
    widths = {f"{name}_hidden_sizes": (width, width) for name in ("policy", "critic")}
    sides = {}
    for name, agent in ((_MPO, conditional_mpo), (_CROSSQ, crossq)):
        package: Any = agent
        config = settings.replace(name, package.PRESETS[task.preset], widths)
        core = package.make_core(package.make_networks(example, actions, config), config)
        sides[name] = Side(core, 1 / getattr(config, "policy_delay", 1))
    return sides


class Part(NamedTuple):
    """Part of an update that is timed separately.

    Attributes:
      function: a jitted function of arrays.
      arguments: the arguments of the function.
      often: the fraction of updates in which the part is done.
      is_within: True if the part is already contained in another part.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    often: float = 1.0
    is_within: bool = False

    def run(self) -> None:
        """Calls the function and waits for its result."""
        jax.block_until_ready(self.function(*self.arguments))


def make_parts(side: Side, batch: Transition) -> dict[str, Part]:
    """Makes the parts of an update of conditional MPO, by name."""
    # The same functions that the update consists of, with the same networks and configuration. They are
    # taken from the bound arguments of `core.update`.
    update: Any = side.core.update
    bound, often = update.args[0], side.policy_share
    state = side.core.init(jax.random.key(0))
    params, key = EvaluationParams(state.target_policy, state.target_critic), jax.random.key(1)

    def evaluate(params: EvaluationParams, key: jax.Array, batch: Transition) -> Any:
        evaluation = bound.method.evaluate(bound.model, params, key, batch)
        return evaluation.target, evaluation.policy_batch()

    def critic_step(state: Any, target: Any, batch: Transition) -> Any:
        state, metrics = learning._update_critic(bound, state, target, batch)
        return state.critic, state.critic_optimiser, metrics

    def policy_step(state: Any, policy_batch: Any) -> Any:
        state, kls, metrics = learning._update_policy(bound, state, policy_batch)
        return state.policy, state.policy_optimiser, kls, metrics

    def duals_step(state: Any, policy_batch: Any, kls: Any) -> Any:
        state, metrics = learning._update_duals(bound, state, policy_batch, kls)
        return state.duals, state.duals_optimiser, metrics

    evaluating = (params, key, batch)
    target, policy_batch = jax.jit(evaluate)(*evaluating)
    _, _, kls, _ = jax.jit(policy_step)(state, policy_batch)
    together = often == 1.0
    parts = {
        "critic's target": Part(jax.jit(lambda *each: evaluate(*each)[0]), evaluating, is_within=together),
        "E-step's values": Part(
            jax.jit(lambda *each: evaluate(*each)[1]), evaluating, often, is_within=together
        ),
        "critic step": Part(jax.jit(critic_step), (state, target, batch)),
        "policy step": Part(jax.jit(policy_step), (state, policy_batch), often),
        "duals": Part(jax.jit(duals_step), (state, policy_batch, kls), often),
    }
    return {"judgement": Part(jax.jit(evaluate), evaluating), **parts} if together else parts


def print_sides(name: str, sides: dict[str, Side], experience: Experience) -> None:
    """Measures both agents and prints their table and bar."""
    steps = FLAGS.gradient_steps
    batch = draw(experience)
    learners = {each: Updates(side.core, experience, FLAGS.batch_size) for each, side in sides.items()}
    for learner in learners.values():
        learner.seconds(steps, steps)
    runs = {each: lambda learner=learner: learner.seconds(steps, steps) for each, learner in learners.items()}
    seconds = {each: taken / steps for each, taken in table.medians(runs, FLAGS.rounds).items()}
    rows = []
    for each, side in sides.items():
        state = side.core.init(jax.random.key(0))
        needed = count_products(side.core.update, state, batch, share_of_dearest=side.policy_share)
        rate = needed / seconds[each] / 1e9
        times = f"{seconds[each] / seconds[_CROSSQ]:.2f}"
        rows.append([each, f"{1 / seconds[each]:,.1f}", *cells(needed, seconds[each]), f"{rate:,.0f}", times])
    columns = ["side", "updates/s", "M operations", "ms", "G operations/s", "times CrossQ's time"]
    table.print_table(columns, rows)
    ratio = seconds[_MPO] / seconds[_CROSSQ]
    table.print_bar(f"{name}, at most {_MOST_TIME} times {_CROSSQ}'s time: {ratio:.2f}", ratio <= _MOST_TIME)
    print()


def print_parts(parts: dict[str, Part]) -> None:
    """Measures the parts of MPO's update and prints their table."""
    for part in parts.values():
        part.run()
    taken = table.medians({name: part.run for name, part in parts.items()}, 3 * FLAGS.rounds)
    seconds = {name: part.often * taken[name] for name, part in parts.items()}
    total = sum(seconds[name] for name, part in parts.items() if not part.is_within)
    rows = []
    for name, part in parts.items():
        label = f"  of it, alone: {name}" if part.is_within else f"{_MPO}'s {name}"
        needed = part.often * count_products(part.function, *part.arguments)
        share = "" if part.is_within else f"{seconds[name] / total:.0%}"
        rows.append([label, f"{part.often:.2f}", *cells(needed, seconds[name]), share])
    table.print_table(["part", "of updates", "M operations", "ms", "share"], rows)


def cells(needed: float, seconds: float) -> Sequence[str]:
    """Formats millions of operations, and milliseconds."""
    return f"{needed / 1e6:,.1f}", f"{seconds * 1e3:,.3f}"


def draw(experience: Experience) -> Transition:
    """Draws one batch."""
    return experience.batches(np.random.default_rng(2), (FLAGS.batch_size,)).transition()


def check_flags() -> tuple[list[str], list[int]]:
    """Checks the flags and returns the kinds of actions and the widths.

    Raises:
      ValueError: a flag has an invalid value.
    """
    table.check_counts("batch_size", "gradient_steps", "rounds")
    delay = crossq.CrossQConfig().policy_delay
    if FLAGS.gradient_steps % delay:
        raise ValueError(
            f"--gradient_steps must be a multiple of CrossQ's policy delay, {delay}, not "
            f"{FLAGS.gradient_steps}."
        )
    for name in FLAGS.kinds:
        if name not in _TASKS:
            raise ValueError(f"no kind of actions {name!r}: --kinds takes {', '.join(_TASKS)}.")
    return FLAGS.kinds, number_lists.whole_numbers("widths", 1)


def main() -> None:
    """Measures both agents for each kind of actions at each width."""
    jax.config.update("jax_platforms", "cpu")
    with command_line.bad_input():
        kinds, widths = check_flags()
    print(f"gradient steps on the CPU, {FLAGS.gradient_steps} in a call; medians of {FLAGS.rounds} rounds")
    table.print_machine()
    for name in kinds:
        task = _TASKS[name]
        experience = task.make_experience(task.sizes)
        for width in widths:
            title = f"{name} actions, width {width}"
            print(f"\n{title}", flush=True)
            sides = make_sides(task, width, experience)
            print_sides(title, sides, experience)
            print_parts(make_parts(sides[_MPO], draw(experience)))


if __name__ == "__main__":
    command_line.run(main)
