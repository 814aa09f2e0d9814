"""Exploitability against episodes and time of PSRO with learned best responses, ours and psro_v2 with DQN.

python -m experiments.benchmarks.device_psro --game=leduc_poker --seeds=0,1,2 --max_seconds=900 \
    --iterations=1000 --figure=device_psro.png
python -m experiments.benchmarks.device_psro --game=leduc_poker --run_flag=--loop=xdo \
    --run_flag=--preset=fast --targets=0.1,0.05,0.01,0.001 --peer_episodes=0 --matched_run_flags=

Ours is `experiments.run_psro` with its default settings for the game. Each seed is a separate process whose
time is measured from outside, so start-up and compilation are included. psro_v2 plays far more slowly, so it
gets as many episodes as it can play in a few minutes, and ours is compared at that number of episodes. A
second comparison runs ours with fewer parallel games, so that its iterations are about as short as psro_v2's.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from typing import TypeVar

from absl import flags

from acme_psro.commands import command_line
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.solvers import check_solver_fits
from experiments.benchmarks.peers import psro_dqn
from experiments.benchmarks.shared import curves, processes, table
from experiments.benchmarks.shared.curves import Point, first_reached, latest

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string; a two-player zero-sum game.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of ours.")
flags.DEFINE_integer(
    "iterations", None, "Maximum number of iterations of ours; the default depends on the game."
)
flags.DEFINE_float("max_seconds", None, "Time after which each of our processes is ended; by default, never.")
flags.DEFINE_list("marks", ["60", "180", "900"], "Seconds at which ours is shown.")
flags.DEFINE_list(
    "targets", None, "Exploitabilities whose first moment is shown; the default depends on the game."
)
flags.DEFINE_multi_string("run_flag", [], "Passed on to experiments.run_psro; may be repeated.")
flags.DEFINE_list(
    "matched_run_flags",
    ["--num_envs=128", "--batch_size=1024", "--gradient_steps_per_response=500"],
    "Passed to experiments.run_psro for runs with short iterations; empty to leave these runs out.",
)
flags.DEFINE_integer("peer_episodes", 60_000, "Training episodes of psro_v2; 0 to leave it out.")
flags.DEFINE_integer("peer_episodes_per_response", 10_000, "Training episodes of one of its responses.")
flags.DEFINE_integer("peer_sims_per_entry", 1000, "Games that psro_v2 plays for a cell of its payoff matrix.")
flags.DEFINE_float(
    "peer_learning_rate", 0.01, "Learning rate of DQN; the default is that of OpenSpiel's example."
)
flags.DEFINE_integer("peer_seed", 0, "Seed of psro_v2.")
flags.DEFINE_string("figure", None, "Path of a PNG of the curves.")

FLAGS = flags.FLAGS

_PEER = "psro_v2, DQN"
_OURS = "acme_psro"
_MATCHED = "acme_psro, few games side by side"
_MOST_GAP = 0.03
_LEDUC_TARGETS, _OTHER_TARGETS = (0.60, 0.20, 0.10), (0.10, 0.03, 0.01)

Run = processes.Run
Number = TypeVar("Number", int, float)


def run_ours(flags_of_run: Sequence[str], seeds: Sequence[int], until: processes.Until) -> list[Run]:
    """Runs our side, one seed after the other."""
    runs = []
    for seed in seeds:
        # The agent is the default, CrossQ: naming it is refused if `flags_of_run` choose exact responses.
        own = [f"--game={FLAGS.game}", "--oracle=device"]
        runs.append(processes.run_psro([*own, f"--seed={seed}", *flags_of_run], until))
        last = runs[-1].points[-1]
        print(
            f"ours: seed {seed}, {last.episodes:,} episodes, {runs[-1].process_seconds:,.0f} s, "
            f"exploitability {last.exploitability:.4f}",
            file=sys.stderr,
            flush=True,
        )
    return runs


def _worth(point: Point | None) -> str:
    return "-" if point is None else f"{point.exploitability:.4f}"


def print_marks(seeds: Sequence[int], runs: Sequence[Run], marks: Sequence[float]) -> None:
    """Prints the exploitability of our runs at the given seconds and at the end of the process."""
    rows = []
    for seed, run in zip(seeds, runs, strict=True):
        last = run.points[-1]
        at = [
            _worth(latest(run.points, mark)) if run.finished or mark <= run.process_seconds else "-"
            for mark in marks
        ]
        rows.append(
            [
                str(seed),
                *at,
                _worth(last),
                f"{len(run.points) - 1}",
                f"{last.episodes:,}",
                f"{run.process_seconds:,.1f} s" + ("" if run.finished else ", ended early"),
            ]
        )
    columns = ["seed", *(f"at {mark:g} s" for mark in marks), "last", "iterations", "episodes", "process"]
    print("exploitability of the latest mixture")
    table.print_table(columns, rows)


def print_targets(seeds: Sequence[int], runs: Sequence[Run]) -> None:
    """Prints the seconds and episodes at which each target was first reached."""
    usual = _LEDUC_TARGETS if FLAGS.game.startswith("leduc_poker") else _OTHER_TARGETS
    targets = usual if FLAGS.targets is None else parse_numbers("targets", float)
    rows = []
    for seed, run in zip(seeds, runs, strict=True):
        reached = [first_reached(run.points, target) for target in targets]
        rows.append([str(seed), *(f"{p.seconds:,.1f} s, {p.episodes:,}" if p else "never" for p in reached)])
    if FLAGS.targets is not None:
        counts = [statistics.median(_episodes_to(run, target) for run in runs) for target in targets]
        rows.append(
            ["median episodes", *(f"{each:,.0f}" if math.isfinite(each) else "never" for each in counts)]
        )
    rows.append(["median", *(_seconds_or_never(_median_seconds(runs, target)) for target in targets)])
    print("first reached: seconds from the process's start, episodes")
    table.print_table(["seed", *(f"{target:g}" for target in targets)], rows)


def _episodes_to(run: Run, target: float) -> float:
    point = first_reached(run.points, target)
    return point.episodes if point else math.inf


def _median_seconds(runs: Sequence[Run], target: float) -> float:
    reached = [first_reached(run.points, target) for run in runs]
    return statistics.median(point.seconds if point else math.inf for point in reached)


def _seconds_or_never(value: float) -> str:
    return f"{value:,.1f} s" if math.isfinite(value) else "never"


def print_bars(runs: Sequence[Run]) -> None:
    """Prints the bars, which exist for Leduc poker and Kuhn poker."""
    leduc, kuhn = FLAGS.game.startswith("leduc_poker"), FLAGS.game.startswith("kuhn_poker")
    for target, within in ((0.60, 180), (0.20, 900), (0.10, 900)) if leduc else ():
        took = _median_seconds(runs, target)
        aim = " (an aim)" if target == 0.10 else ""
        what = f"Leduc poker, {target:.2f} within {within} s, median of {len(runs)} seeds{aim}"
        # Runs that were ended before the limit have not missed the bar.
        given = max(run.process_seconds for run in runs) >= within
        table.print_bar(f"{what}: {_seconds_or_never(took)}", took <= within or (False if given else None))
    if kuhn:
        worst = max(run.points[-1].exploitability for run in runs)
        longest = max(run.process_seconds for run in runs)
        what = "Kuhn poker, each seed 0.01 or less within 60 s, whole process"
        table.print_bar(f"{what}: {worst:.4f} and {longest:,.1f} s at most", worst <= 0.01 and longest <= 60)
    gaps = [gap for run in runs for gap in run.relative_gaps]
    if gaps:
        gap = statistics.median(gaps)
        what = f"Leduc poker, median best-response gap {_MOST_GAP:.0%} or less of what an exact one gains"
        met = gap <= _MOST_GAP if leduc else None
        table.print_bar(f"{what}: {gap:.2%} over {len(gaps)} responses", met)
    print()


def print_equal(peer: psro_dqn.Outcome, seeds: Sequence[int], sides: dict[str, list[Run]]) -> None:
    """Prints all sides at the number of episodes and seconds that psro_v2 took."""
    end = peer.points[-1]
    rows = [[_PEER, f"{end.episodes:,}", _worth(end), f"{end.seconds:,.1f} s", ""]]
    fewer: dict[str, list[float]] = {}
    for name, runs in sides.items():
        for seed, run in zip(seeds, runs, strict=True):
            below = latest(run.points, math.inf, end.episodes)
            above = next((point for point in run.points if point.episodes >= end.episodes), None)
            then = latest(run.points, end.seconds)
            fewer.setdefault(name, []).append(below.exploitability if below else math.inf)
            for what, point in (("no more", below), ("at least", above)):
                cells = (
                    [f"{point.episodes:,}", _worth(point), f"{point.seconds:,.1f} s"] if point else ["-"] * 3
                )
                rows.append(
                    [f"{name}, seed {seed}, {what}", *cells, _worth(then) if what == "no more" else ""]
                )
    print(
        f"at an equal number of training episodes; psro_v2 played {peer.simulations:,} more for its payoffs"
    )
    columns = ["side", "episodes", "exploitability", "seconds", f"at {end.seconds:,.0f} s"]
    table.print_table(columns, rows)
    for name, values in fewer.items():
        ours = statistics.median(values)
        verdict = "ahead" if ours < end.exploitability else "LOST"
        print(f"{name}, with no more episodes, median {ours:.4f} against {end.exploitability:.4f}: {verdict}")


def parse_numbers(name: str, kind: type[Number]) -> list[Number]:
    """Returns the numbers of a list flag.

    Args:
      name: name of the flag.
      kind: type of the numbers.

    Raises:
      ValueError: the list is empty, or an element is not a number or is negative.
    """
    texts = getattr(FLAGS, name)
    try:
        numbers = [kind(text) for text in texts]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        raise ValueError(f"--{name} takes numbers with commas between, not {','.join(texts)!r}.")
    return numbers


def check_flags() -> tuple[list[int], list[float]]:
    """Checks the flags and returns the seeds and the marks.

    Raises:
      ValueError: a flag has an invalid value.
    """
    table.check_counts("peer_episodes_per_response", "peer_sims_per_entry", "iterations", "max_seconds")
    if FLAGS.peer_episodes < 0:
        raise ValueError(f"--peer_episodes must not be negative, not {FLAGS.peer_episodes}.")
    tree = compile_game(FLAGS.game)
    check_solver_fits("nash", tree.num_players, tree.zero_sum)
    return parse_numbers("seeds", int), parse_numbers("marks", float)


def main() -> None:
    """Runs our side and psro_v2, prints the results and draws the curves."""
    with command_line.bad_input():
        seeds, marks = check_flags()
        game = load_game(FLAGS.game)
        if FLAGS.peer_episodes:
            # Checked before the long runs, because psro_v2 may not be installed.
            psro_dqn.check(game)
    print(f"PSRO with learned best responses, nash, {FLAGS.game}")
    table.print_machine()
    limit = [] if FLAGS.iterations is None else [f"--iterations={FLAGS.iterations}"]
    sides = {_OURS: run_ours([*FLAGS.run_flag, *limit], seeds, processes.Until(seconds=FLAGS.max_seconds))}
    print()
    print_marks(seeds, sides[_OURS], marks)
    print_targets(seeds, sides[_OURS])
    print_bars(sides[_OURS])
    shown = {name: [run.points for run in runs] for name, runs in sides.items()}
    if FLAGS.peer_episodes:
        budget = psro_dqn.Budget(
            FLAGS.peer_episodes, FLAGS.peer_episodes_per_response, FLAGS.peer_sims_per_entry
        )
        settings = psro_dqn.DQNSettings(learning_rate=FLAGS.peer_learning_rate)
        peer = psro_dqn.run(game, budget, settings, FLAGS.peer_seed)
        if FLAGS.matched_run_flags:
            until = processes.Until(seconds=FLAGS.max_seconds, episodes=peer.points[-1].episodes)
            short = [*FLAGS.matched_run_flags, "--iterations=1000"]
            sides[_MATCHED] = run_ours(short, seeds, until)
        print_equal(peer, seeds, sides)
        shown = {name: [run.points for run in runs] for name, runs in sides.items()} | {_PEER: [peer.points]}
    if FLAGS.figure:
        curves.write_figure(FLAGS.figure, FLAGS.game, shown)
        print(f"figure: {FLAGS.figure}")


if __name__ == "__main__":
    command_line.run(main)
