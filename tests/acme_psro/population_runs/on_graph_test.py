"""Runs in games that are no trees of the size that is allowed: exact figures, resuming, loading, refusals."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import expected_game_score, exploitability

import acme_psro
from acme_psro.commands import evaluate, run_psro
from acme_psro.evaluation import beliefs
from acme_psro.games.loading import load_game
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.on_graph import GraphRun
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.psro.loop import initialise
from acme_psro.storage import run_directory
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.population_runs.left_behind import copy_of_killed

pytestmark = pytest.mark.usefixtures("quick_module")

# Kuhn poker's tree has 58 nodes, its graph 29.
KUHN: dict[str, Any] = {
    "game": "kuhn_poker",
    "max_nodes": 40,
    "device": {
        "gradient_steps": 100,
        "num_envs": 64,
        "batch_size": 128,
        "buffer_size": 4000,
        "snapshots": 2,
        "max_extensions": 0,
    },
    "agent_settings": {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)},
    "show_progress": False,
}

SELF_PLAY = ("--agent=mmd", "--set=device.self_play=0.1")


@pytest.fixture(name="result", scope="module")
def _result(tmp_path_factory: pytest.TempPathFactory) -> acme_psro.Result:
    directory = tmp_path_factory.mktemp("graph") / "run"
    return acme_psro.run(**KUHN, iterations=3, output_dir=directory)


def test_figures_are_openspiels(result: acme_psro.Result) -> None:
    game, policy = load_game("kuhn_poker"), result.policy()

    assert result.metrics[-1]["iteration"] == 3
    nash_conv = exploitability.nash_conv(game, policy)
    assert result.metrics[-1]["nash_conv"] == pytest.approx(nash_conv, abs=1e-9)


def test_payoffs_are_those_of_the_members_as_openspiel_policies(result: acme_psro.Result) -> None:
    root = load_game("kuhn_poker").new_initial_state()
    for row, column in ((0, 0), (1, 0), (result.population_sizes[0] - 1, result.population_sizes[1] - 1)):
        pair = [result.member(0, row), result.member(1, column)]
        expected = expected_game_score.policy_value(root, pair)
        np.testing.assert_allclose(result.payoffs[:, row, column], expected, atol=1e-9)


def test_gaps_are_to_the_best_responses_that_the_row_before_knows(result: acme_psro.Result) -> None:
    for before, row in zip(result.metrics, result.metrics[1:], strict=False):
        for player in range(2):
            gap = row[f"gap_{player}"]
            if before[f"gain_{player}"] <= 1e-7:
                assert math.isnan(gap)
                continue
            # It is above the best gain if the response loses by the change.
            assert gap >= 0
            assert row[f"relative_gap_{player}"] == pytest.approx(gap / before[f"gain_{player}"])


def test_the_stored_run_is_evaluated_to_the_same_figures(
    result: acme_psro.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(evaluate.main, f"--run_dir={result.run_dir}") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["nash_conv"] == pytest.approx(result.metrics[-1]["nash_conv"], abs=1e-12)
    assert told["populations"] == list(result.population_sizes)
    assert isinstance(run_directory.read(result.run_dir), run_directory.StoredGraphRun)


@pytest.mark.long
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(result: acme_psro.Result, tmp_path: Path) -> None:
    killed = copy_of_killed(result.run_dir, tmp_path / "run")

    resumed = acme_psro.run(**KUHN, iterations=3, output_dir=killed, resume=True)

    assert repr(untimed(resumed.run_dir)) == repr(untimed(result.run_dir))


def test_exact_figures_may_be_rare_and_come_last_in_any_case(
    result: acme_psro.Result, tmp_path: Path
) -> None:
    rare = acme_psro.run(**KUHN, iterations=3, exact_every=2, output_dir=tmp_path / "run")

    known = [not math.isnan(row["nash_conv"]) for row in rare.metrics]
    assert known == [True, False, True, True]
    assert rare.metrics[-1]["nash_conv"] == pytest.approx(result.metrics[-1]["nash_conv"], abs=1e-12)


def test_the_search_for_exact_responses_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PSROConfig("kuhn_poker", max_nodes=40, iterations=1, device=KUHN["device"])
    run = prepare_run(config, tmp_path / "run", 0.0, pytest.fail, lambda nodes: None)
    assert isinstance(run, GraphRun)
    told: list[str] = []
    search = beliefs.gains

    def watched(*args: Any, on_progress: beliefs.OnProgress, **others: Any) -> np.ndarray:
        def watch(progress: beliefs.Progress) -> None:
            on_progress(progress)
            told.extend(run.describe_task())

        return search(*args, on_progress=watch, **others)

    monkeypatch.setattr(beliefs, "gains", watched)
    assert not run.converged(initialise(run.meta_game, run.loop))

    for player in range(2):
        line = f"evaluating the mixture: player {player}'s best response, "
        assert any(each.startswith(line) and each.endswith("about 100 %") for each in told)
    assert not run.describe_task()


def test_a_run_goes_on_when_exact_figures_need_too_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PSROConfig("kuhn_poker", max_nodes=40, iterations=1, device=KUHN["device"])
    warned: list[str] = []
    run = prepare_run(config, tmp_path / "run", 0.0, warned.append, lambda nodes: None)
    assert isinstance(run, GraphRun)
    small = functools.partial(beliefs.best_response_values, max_gigabytes=1e-6)
    monkeypatch.setattr(beliefs, "best_response_values", lambda *given, **known: small(*given))
    state = initialise(run.meta_game, run.loop)

    assert not run.converged(state)
    (row,) = run.add_row([], state, 0.0)

    assert math.isnan(row["nash_conv"]) and math.isnan(row["gain_0"]) and row["population_0"] == 1
    (line,) = warned
    assert line.startswith("exact figures are unknown after 0 iterations: more than")
    assert "fit the memory bound" in line


def test_the_run_plays_as_an_opponent(result: acme_psro.Result) -> None:
    # They belong to the Acme layer, whose environments are those of dm_env.
    pytest.importorskip("dm_env")
    from acme_psro.environments.opponents import read_batched

    opponents = read_batched(str(result.run_dir), "kuhn_poker")

    assert [len(own) for own in opponents.policies] == list(result.population_sizes)


@pytest.mark.slow
def test_seeds_side_by_side_are_single_runs(result: acme_psro.Result, tmp_path: Path) -> None:
    root = tmp_path / "seeds"
    flags = [f"--set=device.{name}={value}" for name, value in KUHN["device"].items()]
    flags += [f"--set=agent_settings.{name}=[16]" for name in KUHN["agent_settings"]]

    flags += ["--game=kuhn_poker", "--max_nodes=40", "--iterations=3", "--num_seeds=2"]
    assert exit_code(run_psro.main, *flags, f"--output_dir={root}") == 0

    assert repr(untimed(root / "seed_0")) == repr(untimed(result.run_dir))
    assert repr(untimed(root / "seed_1")) != repr(untimed(result.run_dir))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--game=kuhn_poker", "--max_nodes=10"), "10 nodes"),
        (("--game=kuhn_poker", "--max_nodes=40", "--exact_every=0"), "exact_every must be at least 1"),
        (
            ("--game=kuhn_poker", "--max_nodes=40", "--loop=anytime"),
            "--loop=anytime needs a game that compiles",
        ),
        (
            ("--game=kuhn_poker(players=3)", "--max_nodes=600", "--meta_solver=prd", *SELF_PLAY),
            "device.self_play is for two players",
        ),
        (
            (
                "--game=kuhn_poker",
                "--max_nodes=40",
                "--agent=conditional_mpo",
                "--warm_start=population",
            ),
            "--warm_start=population needs a game that compiles to a tree",
        ),
        (
            ("--game=kuhn_poker", "--max_nodes=40", "--oracle=exact"),
            "Or try --oracle=device, which takes graphs too",
        ),
        (
            (
                "--game=kuhn_poker(players=3)",
                "--max_nodes=600",
                "--loop=jpsro",
                "--oracle=device",
                "--iterations=1000",
            ),
            "set --iterations to at most 999",
        ),
    ],
)
def test_bad_input_is_one_line(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(run_psro.main, *flags, f"--output_dir={tmp_path / 'run'}") == 2

    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
