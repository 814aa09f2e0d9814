"""Plays a game against a finished or running run in the terminal, or with commands from a pipe.

acme-psro play --run_dir=DIR --player=0
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import sys

import numpy as np
from absl import flags

from acme_psro.commands import config_flag
from acme_psro.play import reading, terminal

flags.DEFINE_string("run_dir", None, "Directory of a run of `acme-psro run`, `neupl` or `self-play`.")
flags.DEFINE_integer("player", 0, "The player that you are; the run plays all others.")
flags.DEFINE_integer("seed", None, "Random seed of chance and the others; by default another one each time.")

flags.adopt_module_key_flags(config_flag)

FLAGS = flags.FLAGS


def main() -> None:
    """Reads the run in `--run_dir` and plays until the person ends the session."""
    with command_line.bad_input():
        config_flag.read(__name__)
        if not FLAGS.run_dir:
            raise ValueError("--run_dir is missing: name the directory of a run.")
        if FLAGS.seed is not None and FLAGS.seed < 0:
            raise ValueError(f"--seed must not be negative, not {FLAGS.seed}.")
        directory = command_line.path_of("run_dir", FLAGS.run_dir)
        opponents = reading.read(
            directory, FLAGS.player, lambda line: print(f"warning: {line}", file=sys.stderr)
        )
        # A seed that is drawn is short, since it is shown so that the session can be repeated.
        seed = int(np.random.default_rng().integers(10**6)) if FLAGS.seed is None else FLAGS.seed
        terminal.play(opponents, FLAGS.player, seed)


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main)
