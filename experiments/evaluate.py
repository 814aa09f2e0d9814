"""Evaluates a finished or running PSRO run and prints one JSON object on standard output.

python -m experiments.evaluate --run_dir=DIR
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from absl import flags

from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.policies.meta_strategy import require_product
from acme_psro.population_runs.metrics import is_known
from acme_psro.storage import run_directory
from experiments import command_line

flags.DEFINE_string("run_dir", None, "Run directory of experiments.run_psro.")

FLAGS = flags.FLAGS


def describe(run: run_directory.StoredRun) -> dict[str, Any]:
    """Evaluates the last mixture of a run, in the game's utility units.

    If payoffs are simulated, the evaluated mixture is the last one that exploiters were trained against.
    The results then have standard errors, and gains are lower bounds. Values that are not known yet are
    None.
    """
    figures = _exact(run) if isinstance(run, run_directory.StoredExactRun) else _sampled(run)
    return {
        "game": run.game,
        "players": len(run.record.state.populations),
        **figures,
        "meta_solver": run.config.get("meta_solver"),
    }


def _exact(run: run_directory.StoredExactRun) -> dict[str, Any]:
    """Returns the exact evaluation of the last mixture."""
    state = run.record.state
    figures = evaluate_mixture(run.tree, state.populations, state.meta_strategy)
    return {
        "iterations": state.iteration,
        "nash_conv": figures.nash_conv,
        "exploitability": figures.exploitability,
        "per_player_gain": figures.per_player_gain.tolist(),
        "expected_returns": figures.expected_returns.tolist(),
        "populations": [len(population) for population in state.populations],
    }


def _sampled(run: run_directory.StoredSampledRun) -> dict[str, Any]:
    """Returns the estimates for the last mixture that exploiters were trained against."""
    # Imported here because it imports JAX, which the exact evaluation does not need.
    from acme_psro.evaluation import sampled

    record = run.record
    index = max((i for i, row in enumerate(record.metrics) if is_known(row)), default=0)
    row, strategy = record.metrics[index], require_product(record.meta_strategies[index])
    players = range(len(record.state.populations))
    returns = sampled.mixture_values(record.state.payoffs, strategy)

    def estimates(*names: str) -> list[float | None]:
        return [row[name] if math.isfinite(row[name]) else None for name in names]

    (nash_conv, nash_conv_error), (value, error) = (
        estimates(name, f"{name}_stderr") for name in ("nash_conv", "exploitability")
    )
    return {
        "iterations": row["iteration"],
        "nash_conv": nash_conv,
        "nash_conv_stderr": nash_conv_error,
        "exploitability": value,
        "exploitability_stderr": error,
        "lower_bound": True,
        "per_player_gain": estimates(*(f"gain_{player}" for player in players)),
        "per_player_gain_stderr": estimates(*(f"gain_{player}_stderr" for player in players)),
        "expected_returns": [each.value for each in returns],
        "expected_returns_stderr": [each.standard_error for each in returns],
        "populations": [row[f"population_{player}"] for player in players],
    }


def main() -> None:
    """Evaluates the run in `--run_dir` and prints the result."""
    if not FLAGS.run_dir:
        command_line.refuse("--run_dir is missing: name the directory of a run.")
    with command_line.bad_input():
        run = run_directory.read(FLAGS.run_dir, lambda line: print(f"warning: {line}", file=sys.stderr))
    print(json.dumps(describe(run)))


if __name__ == "__main__":
    command_line.run(main)
