"""Every meta-solver in random meta-games of 50 x 50 and 20 x 20 x 20 policies, beside its peers.

python -m experiments.benchmarks.meta_solvers --figures=docs/results/meta_solvers.json

Payoffs are normal; those of solvers for zero-sum games are zero-sum. A gap is the largest gain of a player in
the meta-game, by the solver's own solution concept, as a share of its payoff range. Times are processor
seconds of the best of `--repeats` calls, so that other jobs on the machine hardly count. Peers run in a
process of their own, which ends after `--seconds`.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from acme_psro.commands import command_line
from acme_psro.policies.meta_strategy import PopulationStrategy
from acme_psro.solvers import SOLVERS, get_solver
from acme_psro.solvers.certificates import share_of_range
from acme_psro.solvers.properties import Concept, Domain, fits, properties_of
from acme_psro.system.files import write_atomically
from experiments.benchmarks.shared import meta_solver_peers, table

SIZES = ((50, 50), (20, 20, 20))

flags.DEFINE_list("solvers", None, "Names of meta-solvers; all by default.")
flags.DEFINE_list("sizes", ["50x50", "20x20x20"], "Sizes of the populations, such as 50x50.")
flags.DEFINE_integer("repeats", 2, "Calls of each of ours, of which the fastest counts.")
flags.DEFINE_float("seconds", 60.0, "Limit on the time of a peer.", lower_bound=0.0)
flags.DEFINE_string("figures", None, "File of figures to write, as those in docs/results.")

FLAGS = flags.FLAGS

# Every solver should be this fast.
_BAR = 1.0


class Call(NamedTuple):
    """Outcome of a solver.

    Attributes:
      seconds: processor seconds.
      gap: the largest gain of a player, as a share of its payoff range; None if it promises no equilibrium.
    """

    seconds: float
    gap: float | None


def make_payoffs(sizes: Sequence[int], zero_sum: bool, seed: int = 0) -> np.ndarray:
    """Returns random payoffs `[P, n_1, .., n_P]`."""
    payoffs = np.random.default_rng(seed).standard_normal((len(sizes), *sizes))
    if zero_sum:
        payoffs[1] = -payoffs[0]
    return payoffs


def measure(name: str, sizes: Sequence[int], repeats: int) -> Call:
    """Returns the outcome of one of ours; the arguments are its name, and those of the flags."""
    payoffs = make_payoffs(sizes, is_zero_sum(name))
    return _call(get_solver(name), payoffs, properties_of(name).concept, repeats)


def is_zero_sum(name: str) -> bool:
    """Returns True if a meta-solver takes zero-sum games only."""
    return properties_of(name).domain is Domain.TWO_PLAYER_ZERO_SUM


def measure_peer(name: str, sizes: Sequence[int], seconds: float) -> Call | str | None:
    """Returns the outcome of the peer of a meta-solver, why there is none, or None if it has no peer."""
    if name not in meta_solver_peers.PEERS or len(sizes) > meta_solver_peers.PEERS[name].most_players:
        return None
    # What another process does can be ended, whatever library is at work.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_peer, args=(theirs, name, tuple(sizes)), daemon=True)
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(seconds + _STARTING) else f"over {seconds:.0f} s"
    except EOFError:
        found = "failed"
    process.kill()
    process.join()
    outcome: Call | str = Call(*found) if isinstance(found, tuple) else found
    return outcome


# A new process imports OpenSpiel and cvxpy.
_STARTING = 20.0


def _serve_peer(connection: Connection, name: str, sizes: tuple[int, ...]) -> None:
    payoffs = make_payoffs(sizes, is_zero_sum(name))
    peer = meta_solver_peers.PEERS[name]
    try:
        connection.send(tuple(_call(peer.solve, payoffs, properties_of(name).concept, 1)))
    except Exception as error:
        # Whatever happens in another library is a result.
        connection.send(f"failed ({type(error).__name__})")


def _call(
    solve: Callable[[np.ndarray], PopulationStrategy], payoffs: np.ndarray, concept: Concept, repeats: int
) -> Call:
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        found = solve(payoffs)
        seconds.append(time.process_time() - began)
    gap = None if concept is Concept.NONE else share_of_range(payoffs, found, concept)
    return Call(min(seconds), gap)


def make_figures(rows: Sequence[Any], sizes: Sequence[str], before: dict[str, Any]) -> dict[str, Any]:
    """Returns the file of figures: the one before, with the rows that were measured now.

    Solvers that were not measured now keep their rows, so sizes should be the same.

    Args:
      rows: (name, calls of ours, calls of the peer), a call for each of the sizes.
      sizes: the sizes in words.
      before: the file so far.
    """
    columns = ["meta-solver", *(f"{side}{each}" for each in sizes for side in ("", "peer, ")), "peer"]
    made = {row["cells"][0]: row for row in before.get("rows", [])}
    for name, ours, theirs in rows:
        cells = [f"`{name}`"]
        figures: dict[str, float | None] = {}
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            for side, call in zip(("ours", "peer"), pair, strict=True):
                key = f"{side}_{number}"
                cells.append(_cell(key, call))
                if isinstance(call, Call):
                    figures |= {key: call.seconds, f"{key}_gap": call.gap}
        peer = meta_solver_peers.PEERS.get(name)
        cells.append("" if peer is None else peer.name)
        made[cells[0]] = {"cells": cells, "figures": figures}
    kept = {key: value for key, value in before.items() if key not in ("rows", "columns")}
    return {**kept, "columns": columns, "rows": list(made.values())}


def _cell(key: str, call: Call | str | None) -> str:
    if call is None or isinstance(call, str):
        return call or ""
    gap = "" if call.gap is None else ", 0" if call.gap < 1e-12 else f", {{{key}_gap:.0e}}"
    return f"{{{key}:.2g}} s{gap}"


def main() -> None:
    """Measures all solvers, prints a table and writes the figures."""
    with command_line.bad_input():
        table.check_counts("repeats")
        names = FLAGS.solvers or list(SOLVERS)
        for name in names:
            get_solver(name)
        try:
            sizes = [tuple(int(each) for each in text.split("x")) for text in FLAGS.sizes]
        except ValueError:
            raise ValueError(f"--sizes={','.join(FLAGS.sizes)}: write sizes as 50x50 or 20x20x20.") from None
    table.print_machine()
    rows, slow = [], []
    for name in names:
        ours: list[Call | None] = []
        theirs: list[Call | str | None] = []
        for each in sizes:
            fitting = fits(name, len(each), is_zero_sum(name))
            ours.append(measure(name, each, FLAGS.repeats) if fitting else None)
            theirs.append(measure_peer(name, each, FLAGS.seconds) if fitting else None)
        rows.append((name, ours, theirs))
        slow += [name] if any(call is not None and call.seconds > _BAR for call in ours) else []
        print(name, *ours, *theirs, flush=True)
    path = Path(FLAGS.figures) if FLAGS.figures else None
    before = json.loads(path.read_text()) if path is not None and path.is_file() else {}
    figures = make_figures(rows, FLAGS.sizes, before)
    if path is not None:
        write_atomically(str(path), (json.dumps(figures, indent=2) + "\n").encode())
    table.print_bar(f"each under {_BAR:g} s ({', '.join(slow) or 'all'})", not slow)


if __name__ == "__main__":
    command_line.run(main)
