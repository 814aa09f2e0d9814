"""Exact figures of a population in a compiled game, beside those that the program estimates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation, member
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.policies.as_table import make_table
from acme_psro.policies.tabular import Population, make_policy
from acme_psro.solvers import max_entropy_nash


class ExactFigures(NamedTuple):
    """Exact figures of a population.

    Attributes:
      payoffs: `[P, N, N]`, in utility units.
      exploitability: that of the members' equilibrium by these payoffs.
    """

    payoffs: np.ndarray
    exploitability: float


def make_populations(tree: GameTree, population: NeuPLPopulation) -> tuple[Population, ...]:
    """Returns the members as policies on a compiled game, `N` a player."""
    return tuple(
        tuple(
            make_policy(tree, player, make_table(tree, member(population, player, index)))
            for index in range(len(rows))
        )
        for player, rows in enumerate(population.graph)
    )


def measure(tree: GameTree, population: NeuPLPopulation) -> ExactFigures:
    """Returns the exact figures of a population; its own payoffs are not looked at."""
    populations = make_populations(tree, population)
    payoffs = exact_payoffs(tree, populations)
    mixture = max_entropy_nash.solve(payoffs)
    return ExactFigures(payoffs, evaluate_mixture(tree, populations, mixture).exploitability)
