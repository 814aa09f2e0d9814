"""Evaluates a finished or running PSRO run exactly; one JSON object on standard output.

python -m experiments.evaluate --run_dir=DIR
"""

from __future__ import annotations

import json
import sys
from typing import Any

from absl import flags

from acme_psro import evaluation, run_directory
from experiments import command_line

flags.DEFINE_string("run_dir", None, "Run directory of experiments.run_psro.")

FLAGS = flags.FLAGS


def describe(run: run_directory.Run) -> dict[str, Any]:
    """The figures of a run's last mixture, in the game's utility units."""
    state = run.record.state
    figures = evaluation.evaluate(run.tree, state.populations, state.meta_strategy)
    return {
        "game": run.tree.game_string,
        "players": run.tree.num_players,
        "iterations": state.iteration,
        "nash_conv": figures.nash_conv,
        "exploitability": figures.exploitability,
        "per_player_gain": figures.per_player_gain.tolist(),
        "expected_returns": figures.expected_returns.tolist(),
        "populations": [len(population) for population in state.populations],
        "meta_solver": run.config.get("meta_solver"),
    }


def main() -> None:
    """Prints the evaluation."""
    if not FLAGS.run_dir:
        command_line.refuse("--run_dir is missing: name the directory of a run.")
    with command_line.bad_input():
        run = run_directory.read(FLAGS.run_dir, lambda line: print(f"warning: {line}", file=sys.stderr))
    print(json.dumps(describe(run)))


if __name__ == "__main__":
    command_line.run(main)
