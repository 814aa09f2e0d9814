"""Gradient steps per second of conditional MPO against CrossQ, both ours, at equal widths.

python -m experiments.benchmarks.mpo_updates --widths=256 --rounds=5

Continuous actions with sizes of walker-walk and both agents' defaults; discrete ones with sizes of Leduc
poker and both agents' settings for games. Networks have two hidden layers of the width, batches 256
decisions, each with an observation before and one after it. Many updates are one jitted scan, for batches
drawn on the host; sides take turns.

Where MPO's time goes is shown by its parts, each a jitted function and a call of its own, so that their sum
is a little more than an update. Where the policy is updated every time, the critic's target and the E-step's
values are shown within the judgement that gives both: what both need, the target policy and in games the
target critic, is in both.

Operations are those of matrix products; what is done now and then, as the policy's updates, counts for its
share of all updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from agents import conditional_mpo, crossq, settings
from agents.conditional_mpo import learning
from agents.conditional_mpo.losses import Judges
from agents.core import AgentCore, Transition
from experiments import command_line
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
flags.DEFINE_integer("batch_size", 256, "Decisions in an update.")
flags.DEFINE_integer("gradient_steps", 30, "Updates in a call; a multiple of CrossQ's policy delay.")
flags.DEFINE_integer("rounds", 5, "Measurements of each side in turn; medians are shown.")

FLAGS = flags.FLAGS

_MPO, _CROSSQ = "conditional MPO", "CrossQ"
_MOST_TIME = 1.3


class Kind(NamedTuple):
    """A kind of actions, and what stands for it.

    Attributes:
      preset: of both agents.
      sizes: of observations and actions; the buffer's.
      make_experience: what fills the buffer.
    """

    preset: str
    sizes: Sizes
    make_experience: Callable[[Sizes], Experience]


_KINDS = {
    "continuous": Kind("default", Sizes(24, 6), make_experience),
    "discrete": Kind("games", Sizes(30, 3), make_game_experience),
}


class Side(NamedTuple):
    """An agent at one width, and how often of all updates it updates its policy."""

    core: AgentCore
    policy_share: float


def make_sides(kind: Kind, width: int, experience: Experience) -> dict[str, Side]:
    """Both agents, by name."""
    example = jax.tree.map(lambda values: jnp.asarray(values[:1]), experience.observation)
    is_discrete = np.issubdtype(experience.action.dtype, np.integer)
    size = kind.sizes.action_size
    actions = size if is_discrete else crossq.Bounds(*(jnp.full(size, side) for side in (-1.0, 1.0)))
    widths = {f"{name}_hidden_sizes": (width, width) for name in ("policy", "critic")}
    sides = {}
    for name, agent in ((_MPO, conditional_mpo), (_CROSSQ, crossq)):
        package: Any = agent
        config = settings.replace(name, package.PRESETS[kind.preset], widths)
        core = package.make_core(package.make_networks(example, actions, config), config)
        sides[name] = Side(core, 1 / getattr(config, "policy_delay", 1))
    return sides


class Part(NamedTuple):
    """What can be timed by itself.

    Attributes:
      function: jitted, of arrays.
      arguments: what it is called with.
      often: in how many of all updates it is done.
      is_within: whether it is already in another part.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    often: float = 1.0
    is_within: bool = False

    def run(self) -> None:
        """Calls it and waits."""
        jax.block_until_ready(self.function(*self.arguments))


def make_parts(side: Side, batch: Transition) -> dict[str, Part]:
    """The parts of an update of conditional MPO, by name."""
    # The very functions that the update consists of, bound to what it is bound to.
    update: Any = side.core.update
    bound, often = update.args[0], side.policy_share
    state = side.core.init(jax.random.key(0))
    judges, key = Judges(state.target_policy, state.target_critic), jax.random.key(1)

    def judge(judges: Judges, key: jax.Array, batch: Transition) -> Any:
        judgement = bound.method.judge(bound.setting, judges, key, batch)
        return judgement.target, judgement.judged()

    def critic_step(state: Any, target: Any, batch: Transition) -> Any:
        state, metrics = learning._update_critic(bound, state, target, batch)
        return state.critic, state.critic_optimiser, metrics

    def policy_step(state: Any, judged: Any) -> Any:
        state, kls, metrics = learning._update_policy(bound, state, judged)
        return state.policy, state.policy_optimiser, kls, metrics

    def duals_step(state: Any, judged: Any, kls: Any) -> Any:
        state, metrics = learning._update_duals(bound, state, judged, kls)
        return state.duals, state.duals_optimiser, metrics

    judging = (judges, key, batch)
    target, judged = jax.jit(judge)(*judging)
    _, _, kls, _ = jax.jit(policy_step)(state, judged)
    together = often == 1.0
    parts = {
        "critic's target": Part(jax.jit(lambda *each: judge(*each)[0]), judging, is_within=together),
        "E-step's values": Part(jax.jit(lambda *each: judge(*each)[1]), judging, often, is_within=together),
        "critic step": Part(jax.jit(critic_step), (state, target, batch)),
        "policy step": Part(jax.jit(policy_step), (state, judged), often),
        "duals": Part(jax.jit(duals_step), (state, judged, kls), often),
    }
    return {"judgement": Part(jax.jit(judge), judging), **parts} if together else parts


def print_sides(name: str, sides: dict[str, Side], experience: Experience) -> None:
    """Measures both agents, and prints their table and bar."""
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
    """Operations and time."""
    return f"{needed / 1e6:,.1f}", f"{seconds * 1e3:,.3f}"


def draw(experience: Experience) -> Transition:
    """A batch."""
    return experience.batches(np.random.default_rng(2), (FLAGS.batch_size,)).transition()


def check_flags() -> tuple[list[str], list[int]]:
    """The kinds of actions and the widths.

    Raises:
      ValueError: a flag has a value that is not allowed.
    """
    table.check_counts("batch_size", "gradient_steps", "rounds")
    delay = crossq.CrossQConfig().policy_delay
    if FLAGS.gradient_steps % delay:
        raise ValueError(
            f"--gradient_steps must be a multiple of CrossQ's policy delay, {delay}, not "
            f"{FLAGS.gradient_steps}."
        )
    for name in FLAGS.kinds:
        if name not in _KINDS:
            raise ValueError(f"no kind of actions {name!r}: --kinds takes {', '.join(_KINDS)}.")
    return FLAGS.kinds, number_lists.whole_numbers("widths", 1)


def main() -> None:
    """Measures each kind of actions at each width."""
    jax.config.update("jax_platforms", "cpu")
    with command_line.bad_input():
        kinds, widths = check_flags()
    print(f"gradient steps on the CPU, {FLAGS.gradient_steps} in a call; medians of {FLAGS.rounds} rounds")
    table.print_machine()
    for name in kinds:
        kind = _KINDS[name]
        experience = kind.make_experience(kind.sizes)
        for width in widths:
            title = f"{name} actions, width {width}"
            print(f"\n{title}", flush=True)
            sides = make_sides(kind, width, experience)
            print_sides(title, sides, experience)
            print_parts(make_parts(sides[_MPO], draw(experience)))


if __name__ == "__main__":
    command_line.run(main)
