"""Population runs in compiled games, with exact payoffs, exact metrics and any oracle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.base import PopulationRun, count_iterations
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.meta_regret import RegretWarning
from acme_psro.population_runs.metrics import Row, exact_row, wall_seconds
from acme_psro.population_runs.oracles import prepare_oracle
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.solvers import check_solver_fits
from acme_psro.storage import formats
from acme_psro.storage.checkpoint import Record

State = PSROState[Policy, np.ndarray]

# Policies are the same if none of their probabilities differs by more than this.
_SAME = 1e-12


class ExactRun(PopulationRun[Policy, np.ndarray]):
    """A run in a compiled game, see `acme_psro.population_runs.base.PopulationRun`.

    Args:
      config: the run's configuration.
      tree: the compiled game.
      directory: the run's directory.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line for each failure of a program, if networks see less than a best response,
        and if the meta-solver's answer is no equilibrium.

    Raises:
      ValueError: a setting is not allowed, or the meta-solver does not fit the game.
    """

    def __init__(
        self,
        config: PSROConfig,
        tree: GameTree,
        directory: Path,
        started: float,
        warn: Callable[[str], None],
    ) -> None:
        check_solver_fits(config.meta_solver, tree.num_players, tree.zero_sum)
        self.config = config
        self.form = formats.of_tree(tree)
        self.meta_game = ExactMetaGame(tree)
        self.oracle = prepare_oracle(config, directory, warn)(tree)
        self.is_repeatable = config.oracle == "exact"
        self._tree = tree
        self._regret_warning = RegretWarning(config.meta_solver, warn)
        self._directory = directory
        self._started = started
        self._compiled = time.monotonic() - started
        if config.oracle != "exact" and tree.num_observations < tree.num_infosets:
            warn(
                f"networks can tell only {tree.num_observations:,} of the {tree.num_infosets:,} information "
                f"states of {tree.game_string} apart, as others share an observation; exact figures are of "
                "best responses that tell all apart."
            )

    def describe(self) -> str:
        tree = self._tree
        return (
            f"{tree.game_string}: {tree.num_nodes:,} nodes, {tree.num_infosets:,} information states, "
            f"compiled in {self._compiled:.1f} s"
        )

    def converged(self, state: State) -> bool:
        return bool(self._evaluate(state).per_player_gain.max() <= self.config.tolerance)

    def holds(self, population: tuple[Policy, ...], response: Policy) -> bool:
        # A uniform meta-strategy is fictitious play: a policy that is found again must get more weight.
        return self.config.meta_solver != "uniform" and any(
            np.abs(policy.table - response.table).max(initial=0.0) <= _SAME for policy in population
        )

    def add_row(self, before: Sequence[Row], state: State, seconds: float) -> list[Row]:
        self._regret_warning.check(state.iteration, state.payoffs, state.meta_strategy)
        wall = wall_seconds(before, seconds, time.monotonic() - self._started)
        row = exact_row(state, self._evaluate(state), seconds, wall, self.config.tolerance)
        return [*before, row]

    def tidy(self, iteration: int) -> None:
        if self.config.oracle == "launchpad":
            # Imported here so that other oracles do not pay for the import.
            from acme_psro.oracles.launchpad.tasks import tidy_tasks

            # The loop counts completed iterations, so iteration n is run with the key number n - 1.
            key = loop.iteration_key(self.config.seed, iteration - 1)
            tidy_tasks(self._directory / "responses", key, self._tree.num_players)

    def outcome(self, record: Record[Policy, np.ndarray]) -> str:
        done = record.state.iteration
        if self.converged(record.state):
            return (
                f"Converged after {count_iterations(done)}: no player gains more than "
                f"{self.config.tolerance:g} by an exact best response."
            )
        if done < self.config.iterations:
            # The loop ends before the last iteration for one other reason only.
            return (
                f"Stopped after {count_iterations(done)}: no oracle finds a new policy. Best responses to "
                "the mixture are in the populations already; a meta-solver with less meta_regret may come "
                "closer to an equilibrium."
            )
        return self.say_stopped(done)

    def summary(self, record: Record[Policy, np.ndarray]) -> str:
        last = record.metrics[-1]
        figures = f"Exploitability {last['exploitability']:.6f}, NashConv {last['nash_conv']:.6f}."
        return f"{self.outcome(record)} {figures}"

    def _evaluate(self, state: State) -> Evaluation:
        return evaluate_mixture(self._tree, state.populations, state.meta_strategy)
