"""Population runs in compiled games: exact payoffs, exact figures, and any oracle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.base import PopulationRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import Row, exact_row, wall_seconds
from acme_psro.population_runs.oracles import prepare_oracle
from acme_psro.psro import loop
from acme_psro.psro.loop import PSROState
from acme_psro.solvers import check_solver_fits
from acme_psro.storage import formats
from acme_psro.storage.checkpoint import Record

State = PSROState[Policy, np.ndarray]


class ExactRun(PopulationRun[Policy, np.ndarray]):
    """A run in a compiled game; see `acme_psro.population_runs.base.PopulationRun`.

    Args:
      config: the run's configuration.
      tree: the compiled game.
      directory: the run's directory.
      started: `time.monotonic()` when the process began.
      warn: called with one line for each failure of a program.

    Raises:
      ValueError: a setting that is not allowed.
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
        self._tree = tree
        self._directory = directory
        self._started = started
        self._compiled = time.monotonic() - started

    def describe(self) -> str:
        tree = self._tree
        return (
            f"{tree.game_string}: {tree.num_nodes:,} nodes, {tree.num_infosets:,} information states, "
            f"compiled in {self._compiled:.1f} s"
        )

    def converged(self, state: State) -> bool:
        return bool(self._evaluate(state).per_player_gain.max() <= self.config.tolerance)

    def add_row(self, before: Sequence[Row], state: State, seconds: float) -> list[Row]:
        wall = wall_seconds(before, seconds, time.monotonic() - self._started)
        row = exact_row(state, self._evaluate(state), seconds, wall, self.config.tolerance)
        return [*before, row]

    def tidy(self, iteration: int) -> None:
        if self.config.oracle == "launchpad":
            from acme_psro.oracles.launchpad.tasks import tidy_tasks

            key = loop.iteration_key(self.config.seed, iteration - 1)
            tidy_tasks(self._directory / "responses", key, self._tree.num_players)

    def outcome(self, record: Record[Policy, np.ndarray]) -> str:
        done = record.state.iteration
        if self.converged(record.state):
            return (
                f"Converged after {done} iterations: no player gains more than {self.config.tolerance:g} by "
                "an exact best response."
            )
        return f"Stopped after {done} iterations, as asked."

    def summary(self, record: Record[Policy, np.ndarray]) -> str:
        last = record.metrics[-1]
        figures = f"Exploitability {last['exploitability']:.6f}, NashConv {last['nash_conv']:.6f}."
        return f"{self.outcome(record)} {figures}"

    def _evaluate(self, state: State) -> Evaluation:
        return evaluate_mixture(self._tree, state.populations, state.meta_strategy)
