"""Tests of exact figures, against populations whose figures are known."""

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import exact_figures
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.policies import decoders
from acme_psro.policies.stored import StoredPolicy
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.solvers import max_entropy_nash


def test_figures_are_those_of_the_members(
    tree: GameTree, tables: np.ndarray, graph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    members: tuple[tuple[Policy, ...], ...] = tuple(
        tuple(make_policy(tree, player, table[tree.infosets_of(player)]) for table in tables)
        for player in range(2)
    )

    def member(population: NeuPLPopulation, player: int, index: int) -> StoredPolicy:
        return decoders.from_tree_policy(tree, player, members[player][index])

    monkeypatch.setattr(exact_figures, "member", member)
    payoffs = exact_payoffs(tree, members)
    mixture = max_entropy_nash.solve(payoffs)
    found = exact_figures.measure(tree, NeuPLPopulation(1, {}, {}, graph, np.zeros((2, 4, 4))))
    np.testing.assert_array_equal(found.payoffs, payoffs)
    assert found.exploitability == pytest.approx(evaluate_mixture(tree, members, mixture).exploitability)
