"""Runs in games that compile: exact payoffs, exact figures, and any oracle."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro import checkpoint_formats, psro
from acme_psro.checkpoint import Record
from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.oracles.base import Oracle
from acme_psro.policies import tabular
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import Population
from acme_psro.psro import PSROState
from acme_psro.solvers import check_solver_fits, get_solver
from experiments.configs import PSROConfig
from experiments.psro_runs import rows
from experiments.psro_runs.kind import Kind
from experiments.psro_runs.rows import Row


class CompiledRun(Kind):
    """See `experiments.psro_runs.kind.Kind`.

    Args:
      config: of the run.
      tree: the game.
      directory: of the run.
      started: `time.monotonic()` when the process began.
      warn: is told, in one line each, what goes wrong with programs.

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
        self.form = checkpoint_formats.of_tree(tree)
        self.oracle = prepare_oracle(config, directory, warn)(tree)
        self._solver = get_solver(config.meta_solver)
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

    def begin(self) -> PSROState:
        policies = [tabular.uniform_policy(self._tree, player) for player in range(self._tree.num_players)]
        return psro.initialise(policies, payoffs=self.fill, solve=self.solve)

    def fill(self, populations: Sequence[Population], known: np.ndarray) -> np.ndarray:
        return exact_payoffs(self._tree, populations, known)

    def solve(self, payoffs: np.ndarray) -> ProductStrategy:
        return self._solver(payoffs)

    def converged(self, state: PSROState) -> bool:
        return bool(self._evaluate(state).per_player_gain.max() <= self.config.tolerance)

    def add_row(self, before: Sequence[Row], state: PSROState, seconds: float) -> list[Row]:
        wall = rows.wall_seconds(before, seconds, time.monotonic() - self._started)
        row = rows.exact_row(state, self._evaluate(state), seconds, wall, self.config.tolerance)
        return [*before, row]

    def tidy(self, iteration: int) -> None:
        if self.config.oracle == "launchpad":
            from acme_psro.oracles import programs

            key = psro.iteration_key(self.config.seed, iteration - 1)
            programs.tidy(self._directory / "responses", key, self._tree.num_players)

    def outcome(self, record: Record) -> str:
        done = record.state.iteration
        if self.converged(record.state):
            return (
                f"Converged after {done} iterations: no player gains more than {self.config.tolerance:g} by "
                "an exact best response."
            )
        return f"Stopped after {done} iterations, as asked."

    def summary(self, record: Record) -> str:
        last = record.metrics[-1]
        figures = f"Exploitability {last['exploitability']:.6f}, NashConv {last['nash_conv']:.6f}."
        return f"{self.outcome(record)} {figures}"

    def tensor(self, state: PSROState) -> np.ndarray:
        return state.payoffs

    def _evaluate(self, state: PSROState) -> Evaluation:
        return evaluate_mixture(self._tree, state.populations, state.meta_strategy)


def prepare_oracle(
    config: PSROConfig, directory: Path, warn: Callable[[str], None]
) -> Callable[[GameTree], Oracle]:
    """What makes the oracle by name, its settings checked.

    Imports what it needs only now, as JAX takes a second to import.

    Args:
      config: of the run.
      directory: of the run.
      warn: is told, in one line each, what goes wrong with programs.

    Raises:
      ValueError: a setting that is not allowed.
    """
    if config.oracle == "exact":
        from acme_psro.oracles import exact

        return functools.partial(exact.make_oracle, tolerance=config.tolerance)
    if config.oracle == "launchpad":
        from acme_psro.oracles import launchpad
        from acme_psro.policies import as_table
        from experiments import responses

        return functools.partial(
            launchpad.make_oracle,
            directory=directory / "responses",
            run_programs=responses.make_run_programs(config, warn),
            make_table=as_table.make_table,
            tolerance=config.tolerance,
        )
    from acme_psro.oracles import device, training
    from experiments import agents

    settings = training.DeviceConfig(**config.device)
    return functools.partial(
        device.make_oracle,
        make_agent=agents.make_agent(config),
        config=settings,
        tolerance=config.tolerance,
    )
