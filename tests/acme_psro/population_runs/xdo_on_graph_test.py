"""XDO in games that compile to graphs alone: exact figures, resuming, loading, playing, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import evaluate, run_psro
from acme_psro.games.loading import load_game
from acme_psro.play import reading
from acme_psro.policies.meta_strategy import BehaviouralStrategy
from acme_psro.population_runs.defaults import game_settings
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.population_runs.fakes import untimed

# Kuhn poker's tree has 58 nodes, its graph 29.
_KUHN: dict[str, Any] = {
    "game": "kuhn_poker",
    "max_nodes": 40,
    "loop": "xdo",
    "device": {
        "gradient_steps": 60,
        "num_envs": 64,
        "batch_size": 128,
        "buffer_size": 4000,
        "snapshots": 2,
        "games_per_response": 0,
        "stochastic_responses": True,
    },
    "show_progress": False,
}

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(name="result", scope="module")
def _result(tmp_path_factory: pytest.TempPathFactory, quick_module: None) -> acme_psro.Result:
    del quick_module
    return acme_psro.run(**_KUHN, iterations=3, output_dir=tmp_path_factory.mktemp("xdo") / "run")


def test_figures_are_openspiels_and_fall(result: acme_psro.Result) -> None:
    last = result.metrics[-1]
    nash_conv = exploitability.nash_conv(load_game("kuhn_poker"), result.policy())

    assert last["nash_conv"] == pytest.approx(nash_conv, abs=1e-9)
    assert last["nash_conv"] < result.metrics[0]["nash_conv"] / 2
    assert 0 < last["restricted_share"] <= 1
    assert isinstance(result.meta_strategy, BehaviouralStrategy)


def test_the_stored_run_is_evaluated_to_the_same_figures(
    result: acme_psro.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(evaluate.main, f"--run_dir={result.run_dir}") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["nash_conv"] == pytest.approx(result.metrics[-1]["nash_conv"], abs=1e-12)
    assert (told["loop"], told["meta_solver"]) == ("xdo", None)


def test_it_can_be_played_against(result: acme_psro.Result) -> None:
    opponents = reading.read(result.run_dir, 0, pytest.fail)

    assert "which mixes actions" in opponents.manner
    values = opponents.values()
    assert values is not None
    assert sum(values.returns) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(result: acme_psro.Result, tmp_path: Path) -> None:
    acme_psro.run(**_KUHN, iterations=2, output_dir=tmp_path / "run")

    resumed = acme_psro.run(**_KUHN, iterations=3, output_dir=tmp_path / "run", resume=True)

    assert repr(untimed(resumed.run_dir)) == repr(untimed(result.run_dir))
    for one, other in zip(resumed.meta_strategies, result.meta_strategies, strict=True):
        assert isinstance(one, BehaviouralStrategy)
        assert isinstance(other, BehaviouralStrategy)
        np.testing.assert_array_equal(one.tables[0], other.tables[0])


def test_games_that_hide_moves_have_their_own_budget() -> None:
    phantom, other = (game_settings(game, "crossq", "xdo") for game in ("phantom_ttt", "leduc_poker"))
    assert "games_per_response" not in phantom.device
    assert phantom.device["stochastic_responses"]
    assert other.device["games_per_response"] > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--max_nodes=40",), "set games_per_response to 0"),
        (("--max_nodes=10",), "10 nodes"),
        (("--max_nodes=40", "--symmetric"), "--symmetric needs"),
        (("--max_nodes=40", "--oracle=exact"), "--loop=xdo needs a game that compiles"),
    ],
)
def test_bad_input_is_one_line(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--game=kuhn_poker", "--loop=xdo", f"--output_dir={tmp_path / 'run'}")
    assert exit_code(run_psro.main, *given, *flags) == 2

    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
