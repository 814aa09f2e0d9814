"""Runs PSRO on an OpenSpiel game and writes a report.

acme-psro run --game=leduc_poker --oracle=device --agent=crossq --output_dir=DIR
acme-psro run --game=phantom_ttt --oracle=launchpad --payoffs=sampled --output_dir=DIR
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import contextlib
import functools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from acme_psro.commands import placing_flags, psro_config, psro_flags, psro_places
from acme_psro.commands.psro_config import Given
from acme_psro.meta_game.base import PayoffsT, PolicyT
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.steps import begin, carry_out, opened
from acme_psro.population_runs.train import print_warning
from acme_psro.system.executors.placing import Placing

_STARTED = time.monotonic()

flags.adopt_module_key_flags(psro_flags)

FLAGS = flags.FLAGS


def main() -> None:
    """Checks the flags and the run directory, runs PSRO and writes the report."""
    with command_line.bad_input():
        given = psro_config.read_given()
        config = psro_config.build_config(given)
        psro_config.check_flags(given, config)
        placing = placing_flags.read_placing(config.launchpad.get("program") == "ray")
        directory = psro_places.output_directory()
    (_run_one if FLAGS.num_seeds == 1 else _run_seeds)(given, config, directory, placing)


def _run_one(given: Given, config: PSROConfig, directory: Path, placing: Placing) -> None:
    """Opens the directory of one run, and starts or resumes the run."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input(), _cleared_line():
            check = functools.partial(psro_config.check_flags, given)
            opening = opened(
                config, directory, FLAGS.resume, _STARTED, print_warning, _say_nodes, check, placing
            )
            run = held.enter_context(opening)
            devices = psro_places.find_devices(placing)
            psro_config.warn_of_unused(given, run.config)
        # All branches call the same function, but each tells the type checker which policies go with
        # which payoffs.
        if isinstance(run, ExactRun):  # noqa: SIM114
            _run(run, directory, devices, placing)
        elif isinstance(run, GraphRun):
            _run(run, directory, devices, placing)
        else:
            _run(run, directory, devices, placing)


def _run_seeds(given: Given, config: PSROConfig, directory: Path, placing: Placing) -> None:
    """Opens the directories of several seeds, and starts or resumes their runs."""
    # Imported here, because most runs have one seed.
    from acme_psro.population_runs import seeds as side_by_side

    with contextlib.ExitStack() as held:
        with command_line.bad_input(), _cleared_line():
            opening = side_by_side.opened_seeds(
                config, FLAGS.num_seeds, directory, FLAGS.resume, _STARTED, print_warning, _say_nodes, placing
            )
            seeds = held.enter_context(opening)
            devices = psro_places.find_devices(placing)
            psro_config.warn_of_unused(given, seeds[0].run.config)
            begun = side_by_side.begin_seeds(seeds, print_warning)
        try:
            overview = side_by_side.carry_out_seeds(begun, directory, devices=devices, placing=placing)
        except seeds[0].run.failures as error:
            sys.exit(f"error: {error}; --resume continues the runs.")
    for line in overview.summary():
        print(line)
    if overview.is_final:
        print(f"report: {directory / 'report.html'}")


def _run(
    run: PopulationRun[PolicyT, PayoffsT],
    directory: Path,
    devices: tuple[int, ...] | None,
    placing: Placing,
) -> None:
    """Starts or resumes a prepared run."""
    with command_line.bad_input():
        restored = begin(run, directory, FLAGS.resume, print_warning)
    # A ValueError from a Launchpad program means bad input. With other oracles it is a bug of ours, and its
    # traceback must stay visible.
    with command_line.bad_input() if run.config.oracle == "launchpad" else contextlib.nullcontext():
        try:
            record, has_report = carry_out(run, directory, restored, devices=devices, placing=placing)
        except run.failures as error:
            sys.exit(f"error: {error}; --resume continues the run.")
    print(run.summary(record))
    if has_report:
        print(f"report: {directory / 'report.html'}")


@contextlib.contextmanager
def _cleared_line() -> Iterator[None]:
    """Clears the line that `_say_nodes` rewrites on a screen, at the end of the context."""
    try:
        yield
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _say_nodes(count: int) -> None:
    # On a screen one line is rewritten; in a file each message is a line of its own.
    if sys.stderr.isatty():
        print(f"\rcompiling: {count:,} nodes", end="", file=sys.stderr, flush=True)
    else:
        print(f"compiling: {count:,} nodes", file=sys.stderr, flush=True)


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main, psro_places.first_directory)
