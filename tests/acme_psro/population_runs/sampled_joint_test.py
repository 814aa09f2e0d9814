"""Tests of JPSRO with sampled payoffs, in games small enough for exact results; no process is started."""

from pathlib import Path

import pytest

import acme_psro
from acme_psro.evaluation.correlated import gaps
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import stored
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.storage import run_directory
from acme_psro.system.tables import read_csv
from tests.acme_psro.population_runs.fakes import faked, table_of

GAME = "kuhn_poker(players=3)"
SIMULATION = {
    "payoff_episodes": 300,
    "extra_payoff_episodes": 3000,
    "gain_episodes": 3000,
    "payoff_workers": 1,
}


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game(GAME, cache=False)


@pytest.fixture(scope="module")
def directory(tree: GameTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run."""
    place = tmp_path_factory.mktemp("runs") / "kuhn"
    with faked(tree):
        acme_psro.run(
            GAME,
            loop="jpsro",
            oracle="launchpad",
            payoffs="sampled",
            iterations=4,
            simulation=SIMULATION,
            output_dir=place,
            show_progress=False,
        )
    return place


@pytest.mark.long
def test_players_come_close_to_a_coarse_correlated_equilibrium(tree: GameTree, directory: Path) -> None:
    run = run_directory.read(directory, pytest.fail)
    assert isinstance(run, run_directory.StoredSampledRun)
    strategies, rows = run.record.meta_strategies, run.record.metrics
    populations = [
        tuple(table_of(tree, stored.read(policy.path), player) for policy in population)
        for player, population in enumerate(run.record.state.populations)
    ]
    for row, strategy in zip(rows, strategies, strict=True):
        assert isinstance(strategy, JointStrategy)
        sizes = strategy.profiles.max(axis=0) + 1
        known = [own[:size] for own, size in zip(populations, sizes, strict=True)]
        exact = gaps(tree, known, strategy, None)
        # The fake programs respond exactly, so that bounds are tight but for the errors of sampling.
        assert abs(row["nash_conv"] - exact.cce_gains.sum()) <= 4 * row["nash_conv_stderr"] < 0.5
        assert row["welfare"] == pytest.approx(0.0, abs=0.3)
    assert rows[-1]["nash_conv"] < 0.6 * rows[0]["nash_conv"]


def test_results_are_joint_and_said_to_be(directory: Path) -> None:
    result = acme_psro.load_run(directory)
    assert isinstance(result.meta_strategy, JointStrategy)
    with pytest.raises(ValueError, match="joint distribution"):
        acme_psro.load_policy(directory)
    assert "CCE gap at least" in (directory / "report.html").read_text()
    assert {"welfare", "nash_conv_lower"} <= set(read_csv(directory / "metrics.csv")[-1])


def test_correlated_equilibria_need_exact_payoffs(tree: GameTree, tmp_path: Path) -> None:
    with faked(tree), pytest.raises(ValueError, match="max_gini_ce needs payoffs='exact'") as refusal:
        acme_psro.run(
            GAME,
            loop="jpsro",
            oracle="launchpad",
            payoffs="sampled",
            meta_solver="max_gini_ce",
            output_dir=tmp_path / "run",
            show_progress=False,
        )
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()
