"""Run directories of release 0.1, kept in tests/data, still load, evaluate and resume.

They were made by that release:

    run_psro --game=kuhn_poker --oracle=exact --iterations=3 --seed=1              (table)
    run_psro --game=kuhn_poker --oracle=launchpad --payoffs=sampled --iterations=1
        --actor_steps_per_response=1000                                            (sampled)
    run_agent --agent=crossq --environment=openspiel:kuhn_poker --actor_steps=1500
        --evaluation_episodes=20 and hidden layers of 16                           (agent)
"""

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.games.compile import compile_game
from acme_psro.policies import decoders, stored
from acme_psro.storage import checkpoint, run_directory
from acme_psro.system.tables import read_csv

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNS = ROOT / "tests" / "data" / "runs_of_0_1"


def launch(module: str, *flags: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *flags],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_is_read_from_a_relative_directory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RUNS)
    for name in ("table", "sampled"):
        relative = run_directory.read(pathlib.Path(name))
        assert relative.record.metrics == run_directory.read(RUNS / name).record.metrics


@pytest.fixture
def table_run(tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(RUNS / "table", tmp_path / "table")


def test_a_table_run_has_the_figures_that_it_had() -> None:
    figures = json.loads(launch("experiments.evaluate", f"--run_dir={RUNS / 'table'}").stdout)
    assert (figures["iterations"], figures["populations"]) == (3, [4, 3])
    assert figures["nash_conv"] == pytest.approx(0.2, abs=1e-12)
    assert figures["per_player_gain"] == pytest.approx([1 / 30, 1 / 6], abs=1e-12)
    policy = acme_psro.load_policy(RUNS / "table")
    game = pyspiel.load_game("kuhn_poker")
    assert exploitability.exploitability(game, policy) == pytest.approx(0.1, abs=1e-9)


def test_a_table_run_resumes_to_the_numbers_of_the_release_that_began_it(table_run: pathlib.Path) -> None:
    expected = read_csv(table_run / "metrics_after_6.csv")
    launch(
        "experiments.run_psro",
        "--game=kuhn_poker",
        "--oracle=exact",
        "--seed=1",
        "--iterations=6",
        f"--output_dir={table_run}",
        "--resume",
    )
    rows = read_csv(table_run / "metrics.csv")
    assert len(rows) == len(expected) > 4
    timed = ("wall_seconds", "iteration_seconds")
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() - {"meta_regret", "population_exploitability"} == other.keys()
        names = [name for name in other if name not in timed]
        # Zeros differ by the rounding of processors.
        np.testing.assert_allclose(
            [row[name] for name in names], [other[name] for name in names], rtol=1e-12, atol=1e-15
        )
    # Only the last row of a run with exact responses has the population exploitability.
    known = [math.isfinite(row["population_exploitability"]) for row in rows]
    assert known == [False] * (len(rows) - 1) + [True]
    # That release did not write the regret of meta-strategies.
    assert [math.isnan(row["meta_regret"]) for row in rows] == [True] * 4 + [False] * (len(rows) - 4)
    # What joins is a stored policy, as in runs of sampled payoffs; the old files stay as they were.
    directory = table_run / "checkpoints"
    assert set(checkpoint.unpack(checkpoint.policy_path(directory, 0, 0))) == {"table"}
    tree = compile_game("kuhn_poker")
    joined = stored.read(checkpoint.policy_path(directory, 0, 4))
    assert joined.about == {"kind": "table", "game": "kuhn_poker()", "player": 0}
    run = run_directory.read(table_run)
    assert isinstance(run, run_directory.StoredExactRun)
    table = decoders.table_on_tree(tree, joined)
    np.testing.assert_array_equal(run.record.state.populations[0][4].table, table)


def test_a_sampled_run_has_the_figures_that_it_had() -> None:
    figures = json.loads(launch("experiments.evaluate", f"--run_dir={RUNS / 'sampled'}").stdout)
    assert (figures["iterations"], figures["populations"]) == (1, [2, 2])
    assert figures["nash_conv"] == 0.06618181818181817
    assert figures["nash_conv_stderr"] == 0.07508195297628818
    assert figures["expected_returns"] == pytest.approx([0.03818181818181818, -0.03818181818181818])
    # Its policies are networks, which are decoded and play legal actions.
    policy = acme_psro.load_policy(RUNS / "sampled")
    game = pyspiel.load_game("kuhn_poker")
    assert 0 <= exploitability.exploitability(game, policy) < 0.5


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_an_agent_run_resumes(tmp_path: pathlib.Path) -> None:
    run = shutil.copytree(RUNS / "agent", tmp_path / "agent")
    launch(
        "experiments.run_agent",
        "--agent=crossq",
        "--environment=openspiel:kuhn_poker",
        "--actor_steps=1600",
        "--evaluation_episodes=20",
        "--set=critic_hidden_sizes=[16]",
        "--set=policy_hidden_sizes=[16]",
        f"--output_dir={run}",
        "--resume",
    )
    rows = read_csv(run / "evaluation.csv")
    assert [row["actor_steps"] for row in rows] == [1500, 1600]
