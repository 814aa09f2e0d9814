"""Printing of the scaling benchmark: measurements, simulations and their agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from acme_psro.system import cores
from experiments.benchmarks.scaling.model import bounds, saturation
from experiments.benchmarks.scaling.picture import Curve
from experiments.benchmarks.scaling.programs import Program, Watched
from experiments.benchmarks.scaling.services import Cost, Parts, Usage
from experiments.benchmarks.scaling.simulation import simulate
from experiments.benchmarks.shared import table

KINDS = {True: "as it runs", False: "nobody learns"}
_MOST_APART = 0.25
_LIMITS = {
    "actors": "the actors themselves",
    "replay": "replay's server",
    "reading": "reading samples in the learner's process",
    "learner": "gradient steps",
    "cores": "the cores",
}


def print_programs(watched: Mapping[Program, Watched]) -> None:
    """Prints the measured rates of real programs."""
    rows = []
    for program, seen in watched.items():
        cells = ["-", "-", "-"]
        if program.learns:
            each = seen.env_steps / seen.gradient_steps
            cells = [f"{seen.gradient_steps:,.1f}", f"{each:.1f}", f"{seen.start_seconds:.1f}"]
        rows.append([_name(program), _count(seen.env_steps), *cells])
    print(f"measured: real programs (local_mp), all processes on the same {cores.count()} cores")
    columns = ["program", "env steps/s", "gradient steps/s", "env steps each", "first gradient step, s"]
    table.print_table(columns, rows)
    print("The first program compiles; those after it find what it has compiled.\n")


def print_parts(parts: Parts) -> None:
    """Prints the costs of a program's parts and the constraints of its rate limiter."""
    names = {
        "acting": "env step of an actor, nothing written",
        "acting_and_writing": "env step of an actor",
        "writing": "decision written, one writer",
        "several_writing": "decision written, four writers",
        "reading": "decision drawn and read",
        "learning": f"gradient step, batch of {parts.sizes['batch_size']}",
        "variables": "variables asked for, no process between",
        "far_variables": "variables asked for over Courier",
    }
    costs = parts.costs._asdict()
    print("measured: parts alone, in microseconds: by the clock, and of CPUs, all threads and the busiest")
    columns = ["each", "clock", "its process", "busiest", "replay", "busiest"]
    table.print_table(columns, [[name, *_cells(costs[field])] for field, name in names.items()])
    limiter, sizes = parts.limiter, parts.sizes
    drawn, ahead = limiter.samples_per_insert, (limiter.max_diff - limiter.min_diff) / 2
    print(
        f"Replay lets every decision be drawn {drawn:g} times on average: one gradient step comes to "
        f"{sizes['batch_size'] / drawn:g} env steps,\nand whoever is ahead by more than {ahead / drawn:,.0f} "
        "env steps waits for the other.\n"
    )


def _cells(cost: Cost) -> list[str]:
    used = [cost.here, cost.server or Usage(math.nan, math.nan)]
    values = [cost.seconds, *(value for usage in used for value in usage)]
    return ["-" if math.isnan(value) else f"{value * 1e6:,.1f}" for value in values]


def print_comparison(parts: Parts, watched: Mapping[Program, Watched]) -> None:
    """Prints simulated rates of the measured programs on the same number of cores, and the bar."""
    rows, apart = [], []
    for program, seen in watched.items():
        pace = simulate(parts.setup(program.learns), program.actors, cores.count())
        ratio = pace.env_steps / seen.env_steps
        name = _name(program)
        rows.append([name, _count(seen.env_steps), _count(pace.env_steps), f"{ratio:.2f}"])
        apart.append(abs(ratio - 1))
    print(f"simulated on {cores.count()} cores: env steps/s")
    table.print_table(["program", "measured", "simulated", "ratio"], rows)
    what = f"simulation within {_MOST_APART:.0%} of every program that was measured"
    table.print_bar(what, max(apart) <= _MOST_APART)
    print()


def make_curves(parts: Parts, watched: Mapping[Program, Watched], numbers: Sequence[int]) -> list[Curve]:
    """Simulates programs on this machine's cores, and on as many cores as they can use.

    Args:
      parts: measurements of the program's parts.
      watched: measurements of real programs; their numbers of actors are simulated on this machine's cores.
      numbers: numbers of actors to simulate on as many cores as programs can use.
    """
    curves = []
    for learns, name in KINDS.items():
        setup = parts.setup(learns)
        measured = {each.actors: seen.env_steps for each, seen in watched.items() if each.learns == learns}
        here = {number: simulate(setup, number, cores.count()).env_steps for number in sorted(measured)}
        far = {number: simulate(setup, number).env_steps for number in sorted(numbers)}
        at = saturation(far)
        found = bounds(setup, at or max(far))
        # This simulation has as many cores as it can use. Just before saturation, the actors' bound may still
        # be the lowest by a small margin, so it counts only if the program never saturates.
        del found["cores"]
        limit = min((part for part in found if at is None or part != "actors"), key=found.__getitem__)
        curves.append(Curve(name, measured, here, far, at, _LIMITS[limit]))
    return curves


def print_curves(parts: Parts, curves: Sequence[Curve]) -> None:
    """Prints simulated rates on as many cores as needed, and the saturation with its limiting part."""
    print("simulated, an actor on a core of its own, and cores for all others: env steps/s")
    columns = ["actors", *(curve.name for curve in curves)]
    numbers = list(curves[0].on_own_cores)
    table.print_table(
        columns, [[f"{each}", *(_count(c.on_own_cores[each]) for c in curves)] for each in numbers]
    )
    for curve, learns in zip(curves, KINDS, strict=True):
        found = bounds(parts.setup(learns), 1)
        one = found.pop("actors")
        others = [f"{_LIMITS[part]} {_count(rate)}" for part, rate in found.items() if math.isfinite(rate)]
        print(f"{curve.name}: an actor allows {_count(one)}; whatever their number, {', '.join(others)}")
        most, at = curve.on_own_cores[numbers[-1]], curve.saturated_at
        where = f"saturated from {_actors(at)} on" if at else f"not saturated by {_actors(numbers[-1])}"
        by = f", by {curve.limit}" if at else ""
        print(f"{curve.name}: {where}, {_count(most)} env steps/s{by}\n")


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _name(program: Program) -> str:
    return f"{_actors(program.actors)}, {KINDS[program.learns]}"


def _actors(number: int) -> str:
    return "1 actor" if number == 1 else f"{number} actors"
