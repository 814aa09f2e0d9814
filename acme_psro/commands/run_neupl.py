"""Runs neural population learning (NeuPL) on an OpenSpiel game and writes a report.

acme-psro neupl --game=leduc_poker --population_size=8 --graph=psro_nash --output_dir=DIR
acme-psro neupl --game=kuhn_poker --oracle=exact --output_dir=DIR
acme-psro neupl --game=phantom_ttt --oracle=launchpad --payoffs=sampled --output_dir=DIR
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

from absl import flags

from acme_psro.commands import (
    config_flag,
    neupl_flags,
    placing_flags,
    psro_places,
    run_psro,
    settings_flag,
)

# All flags of `acme-psro run` are known, but `--help` lists only those that have an effect.
_USED = (
    "game",
    "oracle",
    "agent",
    "meta_solver",
    "iterations",
    "seed",
    "num_seeds",
    "devices",
    "output_dir",
    "resume",
    "payoffs",
    "max_nodes",
    "tolerance",
)
for _name in _USED:
    flags.declare_key_flag(_name)
for _module in (neupl_flags, config_flag, settings_flag, placing_flags):
    flags.adopt_module_key_flags(_module)
flags.DEFINE_alias("epochs", "iterations")

FLAGS = flags.FLAGS

_LOOP = "neupl"


def main() -> None:
    """Chooses the loop, and does the rest as `acme-psro run` does it."""
    with command_line.bad_input():
        if not command_line.was_given("loop"):
            # As if the user had given it, so that it replaces the loop in a file of `--config`.
            FLAGS["loop"].parse(_LOOP)
        if FLAGS.loop != _LOOP:
            raise ValueError(f"this command has --loop={_LOOP} only: use acme-psro run --loop={FLAGS.loop}.")
    run_psro.main()


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main, psro_places.first_directory)
