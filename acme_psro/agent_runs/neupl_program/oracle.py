"""Oracles of NeuPL as a program: each call waits for the program's next epoch.

The program learns from simulated games alone, and goes on while its populations are assessed. In compiled
games members are assessed exactly, in others by the payoffs that the program estimates.

Dimensions: `P` = 2 players, `N` members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.epochs import Epochs
from acme_psro.agent_runs.neupl_program.exact_figures import make_populations
from acme_psro.agent_runs.neupl_program.population_files import member
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.neupl.responses import Task, response_of
from acme_psro.neupl.values import assess, estimated_values
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Response
from acme_psro.policies.stored import PolicyFile, StoredPolicy
from acme_psro.policies.tabular import Policy
from acme_psro.system.executors.placing import LOCAL, Placing
from acme_psro.system.jobs import Event

# The metric of responses that counts the games from which their payoffs are estimated.
EVALUATION_GAMES = "evaluation_games"


class ProgramOracle(Epochs):
    """An oracle for a compiled game, whose responses are whole populations, `Response.others`.

    Args:
      tree: the compiled game.
      config: configuration of the program, with at least as many epochs as there will be calls.
      directory: the program's directory.
      on_event: called when the program starts, fails or is done.
      placing: the machines on which the program runs.
    """

    def __init__(
        self,
        tree: GameTree,
        config: NeuPLProgramConfig,
        directory: Path,
        on_event: Callable[[Event], None] = lambda event: None,
        placing: Placing = LOCAL,
    ) -> None:
        super().__init__(config, directory, on_event, placing)
        self._tree = tree

    def __call__(self, key: np.ndarray, tasks: Sequence[Task]) -> list[Response[Policy]]:
        """Returns a response for each player; see `Epochs.advance` for errors."""
        # The program has random numbers of its own.
        del key
        population, counts = self.advance()
        members = make_populations(self._tree, population)
        payoffs, values = assess(self._tree, members, population.graph)
        self.record(population.graph, values)
        metrics = {"payoff_error": float(np.abs(payoffs - population.payoffs).mean())}
        metrics |= self.freezing_metrics(population)
        return [
            response_of(
                members[task.player], values, task.player, NO_WORK if index else counts, metrics, payoffs
            )
            for index, task in enumerate(tasks)
        ]


class SampledProgramOracle(Epochs):
    """An oracle for a game of any size, whose responses are whole populations of stored policies.

    Args:
      config: configuration of the program, with at least as many epochs as there will be calls.
      directory: the program's directory.
      store: (player, index, member) -> the member as a file, which never changes.
      on_event: called when the program starts, fails or is done.
      placing: the machines on which the program runs.
    """

    def __init__(
        self,
        config: NeuPLProgramConfig,
        directory: Path,
        store: Callable[[int, int, StoredPolicy], PolicyFile],
        on_event: Callable[[Event], None] = lambda event: None,
        placing: Placing = LOCAL,
    ) -> None:
        super().__init__(config, directory, on_event, placing)
        self._store = store

    def __call__(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyFile, SampledPayoffs]]
    ) -> list[Response[PolicyFile]]:
        """Returns a response for each player; see `Epochs.advance` for errors.

        Gains are by the payoffs that the program estimates, which the responses bring along. Gains of exact
        best responses are unknown.
        """
        del key
        population, counts = self.advance()
        graph, payoffs = population.graph, population.payoffs
        values = estimated_values(graph, payoffs)
        self.record(graph, values)
        metrics = {EVALUATION_GAMES: float(population.evaluation_games)} | self.freezing_metrics(population)
        return [
            response_of(
                tuple(
                    self._store(task.player, index, member(population, task.player, index))
                    for index in range(graph.shape[-1])
                ),
                values,
                task.player,
                NO_WORK if number else counts,
                metrics,
                payoffs,
            )
            for number, task in enumerate(tasks)
        ]
