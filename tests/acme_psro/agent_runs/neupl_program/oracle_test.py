"""Tests of the oracle that waits for a program, with a stand-in for the program's processes."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import background, launch
from acme_psro.agent_runs.neupl_program import oracle as program_oracle
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.oracle import ProgramOracle, SampledProgramOracle
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.values import member_values
from acme_psro.oracles.base import BestResponseTask, Counts
from acme_psro.policies import decoders, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import make_policy

Make = Callable[..., NeuPLProgramConfig]
KEY = np.zeros(2, np.uint32)
ABOUT = {"kind": "network", "game": "kuhn_poker()", "player": 0}


@pytest.fixture
def members(tree: GameTree, tables: np.ndarray) -> Any:
    return tuple(
        tuple(make_policy(tree, player, table[tree.infosets_of(player)]) for table in tables)
        for player in range(2)
    )


@pytest.fixture
def tasks(members: Any) -> list[Any]:
    strategy = ProductStrategy((np.full(4, 0.25), np.full(4, 0.25)))
    return [BestResponseTask(player, members, strategy) for player in range(2)]


@pytest.fixture
def make(
    monkeypatch: pytest.MonkeyPatch, tree: GameTree, small: Make, graph: np.ndarray, members: Any
) -> Callable[..., ProgramOracle]:
    """`(epochs) -> ProgramOracle`, of a program whose epochs take no time, and whose members are known."""
    monkeypatch.setattr(background, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(program_oracle, "make_populations", lambda tree, population: members)
    payoffs = exact_payoffs(tree, members) + 0.25

    def run(config: NeuPLProgramConfig, directory: pathlib.Path, **calls: Any) -> None:
        calls["on_poll"]()
        counts = Counts(10 * config.epochs, 20 * config.epochs, 3 * config.epochs)
        variables = {"w": np.ones(3)}
        calls["on_epoch"](NeuPLPopulation(config.epochs, ABOUT, variables, graph, payoffs, counts, 7))

    monkeypatch.setattr(launch, "run", run)
    return lambda epochs: ProgramOracle(tree, small(epochs=epochs), pathlib.Path("unused"))


def test_responses_in_large_games_are_files_with_estimated_payoffs(
    make: Callable[..., ProgramOracle],
    small: Make,
    tmp_path: pathlib.Path,
    graph: np.ndarray,
    tree: GameTree,
    members: Any,
    tasks: list[Any],
) -> None:
    del make
    stores: list[tuple[int, int, stored.StoredPolicy]] = []

    def store(player: int, index: int, policy: stored.StoredPolicy) -> PolicyFile:
        stores.append((player, index, policy))
        return PolicyFile(tmp_path / f"{player}_{index}")

    oracle = SampledProgramOracle(small(epochs=2), tmp_path, store)
    responses = oracle(KEY, tasks)
    assert [each.path.name for each in responses[1].others] == ["1_0", "1_1", "1_2", "1_3"]
    assert [(player, index) for player, index, _ in stores] == [(p, i) for p in range(2) for i in range(4)]
    assert stores[4][2] == decoders.uniform("kuhn_poker()", 1)
    assert stores[6][2].about["context"] == pytest.approx([*graph[1, 2], 1.0])
    estimated = exact_payoffs(tree, members) + 0.25
    for response in responses:
        np.testing.assert_allclose(response.payoffs, estimated)
        assert response.metrics["evaluation_games"] == 7
        assert np.isnan(response.best_gain)
    # Gains are over the best member before, by these payoffs.
    values = member_values(tree, members, graph, estimated)
    expected = (values.own - values.before)[:, 1:].mean(axis=1)
    np.testing.assert_allclose([response.gain for response in responses], expected)
    assert [response.counts for response in responses] == [Counts(20, 40, 6), Counts()]
    assert oracle.memory()["history_graphs"].shape == (1, 2, 4, 4)
    oracle.close()


def test_responses_are_the_programs_members(
    make: Callable[..., ProgramOracle], tree: GameTree, graph: np.ndarray, members: Any, tasks: list[Any]
) -> None:
    oracle = make(2)
    responses = oracle(KEY, tasks)
    assert [response.others for response in responses] == list(members)
    assert [response.policy for response in responses] == [None, None]
    np.testing.assert_array_equal(responses[0].payoffs, exact_payoffs(tree, members))
    values = member_values(tree, members, graph, exact_payoffs(tree, members))
    for player, response in enumerate(responses):
        assert response.gain == pytest.approx((values.own - values.before)[player, 1:].mean())
        assert response.best_gain == pytest.approx((values.best - values.before)[player, 1:].mean())
        assert response.metrics["payoff_error"] == pytest.approx(0.25)
    assert [response.counts for response in responses] == [Counts(20, 40, 6), Counts()]
    # After the last epoch, nothing is done any more.
    assert oracle(KEY, tasks)[0].counts == Counts()
    oracle.close()
    oracle.close()
