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
from acme_psro.agent_runs.neupl_program.population_files import write_members
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.estimates import SampledPayoffs
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.responses import Task, response_of
from acme_psro.neupl.values import member_values
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Response
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import Policy
from acme_psro.system.supervision import Event


class ProgramOracle(Epochs):
    """An oracle for a compiled game, whose responses are whole populations, `Response.others`.

    Args:
      tree: the compiled game.
      config: configuration of the program, with at least as many epochs as there will be calls.
      directory: the program's directory.
      on_event: called when the program starts, fails or is done.
    """

    def __init__(
        self,
        tree: GameTree,
        config: NeuPLProgramConfig,
        directory: Path,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        super().__init__(config, directory, on_event)
        self._tree = tree

    def __call__(self, key: np.ndarray, tasks: Sequence[Task]) -> list[Response[Policy]]:
        """Returns a response for each player; see `Epochs.advance` for errors."""
        # The program has random numbers of its own.
        del key
        population, counts = self.advance()
        members = make_populations(self._tree, population)
        payoffs = exact_payoffs(self._tree, members)
        values = member_values(self._tree, members, population.graph, payoffs)
        metrics = {"payoff_error": float(np.abs(payoffs - population.payoffs).mean())}
        return [
            response_of(members[task.player], values, task.player, NO_WORK if index else counts, metrics)
            for index, task in enumerate(tasks)
        ]


class SampledProgramOracle(Epochs):
    """An oracle for a game of any size, whose responses are whole populations of stored policies.

    Args:
      config: configuration of the program, with at least as many epochs as there will be calls.
      directory: the program's directory.
      place_policy: (player, number) -> file of a stored policy. Numbers go on from epoch to epoch, because a
        file is never changed: member i of epoch e is number `e N + i`.
      on_event: called when the program starts, fails or is done.
    """

    def __init__(
        self,
        config: NeuPLProgramConfig,
        directory: Path,
        place_policy: Callable[[int, int], Path],
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        super().__init__(config, directory, on_event)
        self._place_policy = place_policy

    def __call__(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyFile, SampledPayoffs]]
    ) -> list[Response[PolicyFile]]:
        """Returns a response for each player; see `Epochs.advance` for errors.

        Gains are by estimated payoffs, and gains of exact best responses are unknown.
        """
        del key
        population, counts = self.advance()
        first = population.epoch * population.graph.shape[-1]
        members = write_members(population, lambda player, index: self._place_policy(player, first + index))
        gains = estimated_gains(population.graph, population.payoffs)
        return [
            Response(
                None,
                float(gains[task.player]),
                float("nan"),
                NO_WORK if index else counts,
                others=members[task.player],
            )
            for index, task in enumerate(tasks)
        ]


def estimated_gains(graph: np.ndarray, payoffs: np.ndarray) -> np.ndarray:
    """Returns `[P]`: mean gains of members over the best one before them, against their mixtures.

    Args:
      graph: `[P, N, N]`, the mixtures.
      payoffs: `[P, N, N]`, in utility units.
    """
    # Row i: what each of the player's members earns against the mixture of its member i.
    earned = np.stack([graph[0] @ payoffs[0].T, graph[1] @ payoffs[1]])[:, 1:]
    num = graph.shape[-1]
    before = np.where(np.tri(num, k=-1, dtype=bool)[1:], earned, -np.inf).max(axis=2)
    own = np.diagonal(earned, offset=1, axis1=1, axis2=2)
    return np.asarray((own - before).mean(axis=1))
