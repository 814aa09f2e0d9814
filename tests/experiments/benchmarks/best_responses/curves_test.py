"""Tests of gaps and bars of the best-response benchmark; training is tested with the oracles."""

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from experiments.benchmarks.best_responses import curves
from experiments.benchmarks.best_responses.curves import Curve


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker")


def _best(tree: GameTree, opponents: np.ndarray, player: int) -> np.ndarray:
    plan = traverse.realisation_plan(tree, opponents)
    return traverse.best_response(tree, plan, player).table


def test_opponents_are_uniform_and_a_mixture_that_is_harder_to_beat(tree: GameTree) -> None:
    plans = curves.make_opponents(tree, 3)
    assert list(plans) == ["uniform", "mixture"]
    tables = [traverse.behaviour(tree, plan) for plan in plans.values()]
    np.testing.assert_allclose(tables[0], tree.uniform_policy())
    nash_conv = [traverse.nash_conv(tree, table) for table in tables]
    assert nash_conv[0] == pytest.approx(11 / 12)
    assert nash_conv[1] < 0.8


def test_every_seed_and_player_is_measured_after_one_to_compile(tree: GameTree) -> None:
    calls = []

    def run(seed: int, opponents: np.ndarray) -> np.ndarray:
        calls.append(seed)
        right = np.stack([_best(tree, opponents, player) for player in range(2)])
        # Player 1's second training stays wrong.
        right[1] = 1.0 - right[1] if seed == 8 else right[1]
        return right[:, None]

    plan = traverse.realisation_plan(tree, tree.uniform_policy())
    curve = curves.measure(tree, plan, run, [7, 8])
    assert calls == [7, 7, 8]
    assert curve.gaps.shape == (4, 1)
    np.testing.assert_allclose(curve.gaps[:3, 0], 0.0, atol=1e-12)
    assert curve.gaps[3, 0] > 0.5


def test_time_to_a_gap_is_that_of_the_first_snapshot_with_it() -> None:
    gaps = np.array([[0.5, 0.02, 0.01, 0.01], [0.5, 0.1, 0.02, 0.02], [0.9, 0.02, 0.02, 0.02]])
    assert Curve(gaps, 10.0, 3.0).seconds_to(0.03) == pytest.approx(5.0)
    assert Curve(gaps, 10.0, 3.0).seconds_to(0.001) == np.inf


@pytest.mark.parametrize(
    ("seconds", "gap", "verdicts"),
    [
        (14.0, 0.02, ["met", "met", "met"]),
        (16.0, 0.02, ["met", "met", "MISSED"]),
        (9.0, 0.5, ["met", "MISSED", "MISSED"]),
    ],
)
def test_bars(capsys: pytest.CaptureFixture[str], seconds: float, gap: float, verdicts: list[str]) -> None:
    of_agents = {
        "crossq": Curve(np.full((2, 1), 0.01), 10.0, 0.0),
        "conditional_mpo": Curve(np.full((2, 1), gap), seconds, 0.0),
    }
    curves.print_curves({"uniform": of_agents})
    printed = capsys.readouterr().out
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith("bar:")] == verdicts
