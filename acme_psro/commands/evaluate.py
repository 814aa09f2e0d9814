"""Evaluates a finished or running PSRO run and prints one JSON object on standard output.

acme-psro evaluate --run_dir=DIR
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from acme_psro.commands import config_flag
from acme_psro.display import formats
from acme_psro.evaluation.correlated import Gaps, gaps
from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.meta_game.base import PolicyT
from acme_psro.policies.meta_strategy import JointStrategy, require_product
from acme_psro.population_runs.graph_figures import evaluate_state
from acme_psro.population_runs.metrics import concept_of, is_known
from acme_psro.population_runs.seed_directories import check_names_one
from acme_psro.psro.loop import PSROState, independent
from acme_psro.self_play_runs import result as self_play
from acme_psro.storage import run_directory
from acme_psro.system import tolerant_output

flags.DEFINE_string("run_dir", None, "Run directory of `acme-psro run`.")

flags.adopt_module_key_flags(config_flag)

FLAGS = flags.FLAGS


def describe(run: run_directory.StoredRun) -> dict[str, Any]:
    """Evaluates the last mixture of a run, in the game's utility units.

    If payoffs are simulated, the evaluated mixture is the last one that exploiters were trained against.
    `nash_conv`, `exploitability` and `per_player_gain` then estimate what the exploiters gain, with standard
    errors; they may be below 0 near an equilibrium. The entries that end in `_lower` are lower bounds of what
    there is to gain, 1.645 standard errors below the estimates and never below 0. Values that are not known
    yet are None. Of members that all keep learning, the last mixture is evaluated, whatever is known of it.
    """
    if isinstance(run, run_directory.StoredExactRun):
        figures = _exact(run)
    elif isinstance(run, run_directory.StoredGraphRun):
        figures = _on_graph(run)
    else:
        figures = _sampled(run)
    return {
        "game": run.game,
        "players": len(run.record.state.populations),
        **figures,
        "loop": run.config.get("loop", "psro"),
        "meta_solver": run.config.get("meta_solver"),
    }


def _exact(run: run_directory.StoredExactRun) -> dict[str, Any]:
    """Returns the exact evaluation of the last mixture."""
    state = run.record.state
    figures = evaluate_mixture(run.tree, state.populations, independent(state))
    told = _tell(figures, state, _of_population(run))
    if isinstance(state.meta_strategy, JointStrategy):
        # The figures before are of players who draw independently, each from its marginal.
        found = gaps(run.tree, state.populations, state.meta_strategy)
        told |= _tell_joint(state.meta_strategy, found)
    return told


def _on_graph(run: run_directory.StoredGraphRun) -> dict[str, Any]:
    """Returns the exact evaluation of the last mixture, against best responses with perfect recall."""
    state = run.record.state
    # Payoffs that members learned from games are not exact.
    is_estimated = run.config.get("neupl", {}).get("payoffs") == "estimated"
    figures = evaluate_state(run.graph, state, concept_of(run.config), not is_estimated)
    told = _tell(figures.mixture, state, {})
    if figures.together is not None:
        assert isinstance(state.meta_strategy, JointStrategy), "it has figures of a joint distribution"
        told |= _tell_joint(state.meta_strategy, figures.together)
    return told


def _tell_joint(joint: JointStrategy, found: Gaps) -> dict[str, Any]:
    """Returns exact figures of a joint distribution by name; None for gains that were not computed."""
    known = not np.isnan(found.ce_gains).any()
    return {
        "cce_gap": float(found.cce_gains.sum()),
        "ce_gap": float(found.ce_gains.sum()) if known else None,
        "welfare": float(found.expected_returns.sum()),
        "per_player_cce_gain": found.cce_gains.tolist(),
        "per_player_ce_gain": found.ce_gains.tolist() if known else None,
        "joint_expected_returns": found.expected_returns.tolist(),
        "profiles": len(joint.probabilities),
    }


def _tell(
    figures: Evaluation, state: PSROState[PolicyT, np.ndarray], of_population: Mapping[str, float]
) -> dict[str, Any]:
    """Returns exact figures by name."""
    return {
        "iterations": state.iteration,
        "nash_conv": figures.nash_conv,
        "exploitability": figures.exploitability,
        **of_population,
        "per_player_gain": figures.per_player_gain.tolist(),
        "expected_returns": figures.expected_returns.tolist(),
        "populations": [len(population) for population in state.populations],
    }


def _of_population(run: run_directory.StoredExactRun) -> dict[str, float]:
    """Returns the exploitability of the least exploitable mixture of the populations, if it is defined."""
    if run.tree.num_players != 2 or not run.tree.zero_sum:
        return {}
    # Solvers of linear programs take long to import.
    from acme_psro.evaluation.least_exploitable import least_exploitable

    least = least_exploitable(run.tree, run.record.state.populations)
    return {"population_exploitability": least.exploitability}


def _sampled(run: run_directory.StoredSampledRun) -> dict[str, Any]:
    """Returns the estimates for the last mixture that exploiters were trained against."""
    # Imported here because it imports JAX, which the exact evaluation does not need.
    from acme_psro.evaluation import sampled

    record = run.record
    index = max((i for i, row in enumerate(record.metrics) if is_known(row)), default=0)
    if formats.has_members(record.metrics[-1]):
        # The members of earlier mixtures have changed since.
        index = len(record.metrics) - 1
    row, strategy = record.metrics[index], require_product(record.meta_strategies[index])
    players = range(len(record.state.populations))
    returns = sampled.mixture_values(record.state.payoffs, strategy)

    def known(values: Sequence[float]) -> list[float | None]:
        return [value if math.isfinite(value) else None for value in values]

    def estimates(*names: str) -> list[float | None]:
        # Rows of earlier versions have no bounds apart from the estimates.
        return known([row.get(name, math.nan) for name in names])

    (nash_conv, nash_conv_error, nash_conv_bound), (value, error, bound) = (
        estimates(name, f"{name}_stderr", f"{name}_lower") for name in ("nash_conv", "exploitability")
    )
    return {
        "iterations": row["iteration"],
        "nash_conv": nash_conv,
        "nash_conv_stderr": nash_conv_error,
        "nash_conv_lower": nash_conv_bound,
        "exploitability": value,
        "exploitability_stderr": error,
        "exploitability_lower": bound,
        "lower_bound": True,
        "per_player_gain": estimates(*(f"gain_{player}" for player in players)),
        "per_player_gain_stderr": estimates(*(f"gain_{player}_stderr" for player in players)),
        "per_player_gain_lower": estimates(*(f"gain_{player}_lower" for player in players)),
        "expected_returns": [each.value for each in returns],
        "expected_returns_stderr": known([each.standard_error for each in returns]),
        "populations": [row[f"population_{player}"] for player in players],
    }


def main() -> None:
    """Evaluates the run in `--run_dir` and prints the result."""
    with command_line.bad_input():
        config_flag.read(__name__)
        if not FLAGS.run_dir:
            raise ValueError("--run_dir is missing: name the directory of a run.")
        directory = command_line.path_of("run_dir", FLAGS.run_dir)
        check_names_one(directory)
        if self_play.is_self_play(directory):
            _print(self_play.describe(directory))
            return
        run = run_directory.read(directory, lambda line: print(f"warning: {line}", file=sys.stderr))
    _print(describe(run))


def _print(figures: dict[str, Any]) -> None:
    """Prints one JSON object, or ends with an error if it cannot be written."""
    print(json.dumps(figures))
    failure = tolerant_output.find_failure(sys.stdout)
    # A reader that has seen enough is no failure, but a result that is lost on a full disk is one.
    if failure is not None and not isinstance(failure, BrokenPipeError):
        command_line.refuse(f"cannot write the result to standard output: {failure.strerror}.")


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main)
