"""Tests of the oracle that waits for a program, with a stand-in for the program's processes."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import background, launch, population_files
from acme_psro.agent_runs.neupl_program import oracle as program_oracle
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.oracle import ProgramOracle, SampledProgramOracle, estimated_gains
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.values import member_values
from acme_psro.oracles.base import BestResponseTask, Counts
from acme_psro.policies import stored
from acme_psro.policies.meta_strategy import ProductStrategy
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
        calls["on_epoch"](NeuPLPopulation(config.epochs, ABOUT, {"w": np.ones(3)}, graph, payoffs, counts))

    monkeypatch.setattr(launch, "run", run)
    return lambda epochs: ProgramOracle(tree, small(epochs=epochs), pathlib.Path("unused"))


def test_gains_are_over_the_best_member_before(graph: np.ndarray, tree: GameTree, members: Any) -> None:
    payoffs = exact_payoffs(tree, members)
    values = member_values(tree, members, graph, payoffs)
    expected = (values.own - values.before)[:, 1:].mean(axis=1)
    np.testing.assert_allclose(estimated_gains(graph, payoffs), expected)


def test_responses_in_large_games_are_files_that_never_change(
    make: Callable[..., ProgramOracle],
    small: Make,
    tmp_path: pathlib.Path,
    graph: np.ndarray,
    tasks: list[Any],
) -> None:
    del make
    place = population_files.place_in(tmp_path)
    oracle = SampledProgramOracle(small(epochs=2), tmp_path, place)
    responses = oracle(KEY, tasks)
    # Epoch 2 of four members begins with number 8.
    assert [each.path for each in responses[1].others] == [place(1, number) for number in (8, 9, 10, 11)]
    policy = stored.read(responses[1].others[2].path)
    assert policy.about["context"] == pytest.approx([*graph[1, 2], 1.0])
    assert [response.counts for response in responses] == [Counts(20, 40, 6), Counts()]
    assert all(np.isnan(response.best_gain) for response in responses)
    assert np.isfinite([response.gain for response in responses]).all()
    oracle.close()


def test_responses_are_the_programs_members(
    make: Callable[..., ProgramOracle], tree: GameTree, graph: np.ndarray, members: Any, tasks: list[Any]
) -> None:
    oracle = make(2)
    responses = oracle(KEY, tasks)
    assert [response.others for response in responses] == list(members)
    assert [response.policy for response in responses] == [None, None]
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
