"""Carries out a grid of runs that a YAML file describes, several at a time, and compares them.

acme-psro sweep --sweep=FILE.yaml --output_dir=DIR
acme-psro sweep --sweep=FILE.yaml --output_dir=DIR --resume
acme-psro sweep --sweep=FILE.yaml --output_dir=DIR --executor=ray --cpus_per_response=2
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import contextlib
import sys
from pathlib import Path

from absl import flags

from acme_psro.commands import placing_flags
from acme_psro.population_runs.train import print_warning
from acme_psro.sweeps.cells import Cell, make_cells
from acme_psro.sweeps.publishing import describe_sweep
from acme_psro.sweeps.reading import SweepFile, read_sweep
from acme_psro.sweeps.run import carry_out, opened_sweep
from acme_psro.system import cores, own_modules
from acme_psro.system.executors.choose import make_executor

flags.DEFINE_string("sweep", None, "YAML file of the sweep, with the keys base and grid.")
flags.DEFINE_string("output_dir", None, "Directory of the sweep; by default runs/FILE.")
flags.DEFINE_boolean(
    "resume", False, "Resume the sweep in the output directory; cells and seeds may be added."
)
flags.DEFINE_integer("parallel", None, "Runs at a time on this machine; by default one for every two cores.")
flags.adopt_module_key_flags(placing_flags)

FLAGS = flags.FLAGS


def output_directory() -> Path:
    """Returns the directory of the sweep.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    return command_line.output_directory(FLAGS.output_dir, Path(FLAGS.sweep or "sweep").stem)


def main() -> None:
    """Checks the file, the flags and the directory, carries out the sweep and prints its results."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input():
            if not FLAGS.sweep:
                raise ValueError("--sweep=FILE.yaml is missing: name the file of the sweep.")
            placing = placing_flags.read_placing()
            parallel = _read_parallel(placing.is_remote)
            file = read_sweep(command_line.path_of("sweep", FLAGS.sweep))
            own_modules.import_everywhere(file.modules)
            cells = make_cells(file)
            root = output_directory()
            sweep = held.enter_context(opened_sweep(file, cells, root, FLAGS.resume))
            executor = make_executor(placing)
        print(f"{describe_sweep(file)}; {len(sweep.runs)} runs in {root}", flush=True)
        _warn_of_seeds(file, cells)
        ended = carry_out(sweep, executor, parallel, print_warning)
    for line in ended.lines:
        print(line)
    if ended.has_report:
        print(f"report: {root / 'report.html'}, {root / 'sweep.png'}, {root / 'sweep.csv'}")
    sys.stdout.flush()
    for name, reason in ended.failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if ended.failed:
        sys.exit(1)


def _read_parallel(is_remote: bool) -> int:
    """Returns the number of runs at a time on this machine.

    Raises:
      ValueError: it is less than 1, or has no effect.
    """
    if FLAGS.parallel is None:
        return max(1, cores.count() // 2)
    if is_remote:
        raise ValueError("--parallel needs --executor=local: a cluster has as many runs as have room there.")
    if FLAGS.parallel < 1:
        raise ValueError(f"--parallel must be at least 1, not {FLAGS.parallel}.")
    return int(FLAGS.parallel)


def _warn_of_seeds(file: SweepFile, cells: list[Cell]) -> None:
    if len(file.seeds) > 1 and any(cell.config.get("oracle") == "exact" for cell in cells):
        print_warning("exact responses are the same for every seed: one seed of their cells would do.")


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main, output_directory)
