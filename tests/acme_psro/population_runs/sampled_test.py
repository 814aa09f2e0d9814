"""Tests of runs with sampled payoffs, in a game small enough for exact results; no process is started."""

import json
import math
import pathlib
import re
import shutil
import sys

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import evaluate, run_psro
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.policies import decoders
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.tabular import Policy, mixture_table
from acme_psro.population_runs.metrics import is_known
from acme_psro.storage import run_directory
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import make_launch, start
from tests.acme_psro.population_runs.fakes import FLAGS, GAME, World


def test_a_run_says_what_its_figures_are(finished: tuple[pathlib.Path, str]) -> None:
    directory, out = finished
    lines = out.splitlines()
    assert "lower bound" in lines[0]
    # A line an iteration, the initial populations' first, each once its exploiters are there.
    assert [line.split()[1] for line in lines if line.startswith("iteration")] == ["0/3", "1/3", "2/3", "3/3"]
    assert re.search(
        r"Exploitability at least 0\.\d{4} ± 0\.\d{4}, NashConv at least .* \(lower bounds.* less 1\.645 ",
        lines[-2],
    )
    config = json.loads((directory / "config.json").read_text())
    assert (config["payoffs"], config["simulation"]["gain_episodes"]) == ("sampled", 1000)
    report = (directory / "report.html").read_text()
    assert lines[-2] in report and "Lower bounds: what the 2 players" in report


def test_rows_are_lower_bounds_with_errors(finished: tuple[pathlib.Path, str]) -> None:
    rows = read_csv(finished[0] / "metrics.csv")
    assert ",".join(list(rows[0])[:7]) == (
        "iteration,wall_seconds,episodes,env_steps,gradient_steps,nash_conv,exploitability"
    )
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        gains, errors = ([row[f"gain_{p}{end}"] for p in (0, 1)] for end in ("", "_stderr"))
        assert row["nash_conv"] == pytest.approx(sum(gains))
        # The returns of the mixture itself cancel in the sum, so their errors are not part of it.
        assert 0 < row["nash_conv_stderr"] < 0.5 * math.hypot(*errors)
        bound = max(0.0, row["nash_conv"] - 1.645 * row["nash_conv_stderr"])
        assert (row["nash_conv_lower"], row["exploitability_lower"]) == pytest.approx((bound, bound / 2))
        assert 0 <= row["meta_regret"] < 1e-9
        assert row["exploitability"] == row["nash_conv"] / 2
        assert row["exploitability_stderr"] == row["nash_conv_stderr"] / 2 > 0
        assert math.isnan(row["gap_0"]) and math.isnan(row["relative_gap_1"])
    # Two programs an iteration; the exploiters of the last mixture are not counted.
    assert [row["gradient_steps"] for row in rows] == [0, 66, 132, 198]
    for_responses = [row["episodes"] - row["payoff_episodes"] for row in rows]
    assert for_responses == [0, 2 * 1011, 4 * 1011, 6 * 1011]
    assert rows[0]["payoff_episodes"] == 220 < rows[1]["payoff_episodes"]


def test_bounds_are_what_exact_best_responses_gain_within_errors(
    run: run_directory.StoredSampledRun, populations: list[tuple[Policy, ...]], tree: GameTree
) -> None:
    """Bounds are tight because the fake programs respond exactly; only sampling errors remain."""
    for row, strategy in zip(run.record.metrics, run.record.meta_strategies, strict=True):
        sizes = [len(marginal) for marginal in strategy.marginals]
        known = [own[:size] for own, size in zip(populations, sizes, strict=True)]
        exact = evaluate_mixture(tree, known, strategy)
        assert abs(row["nash_conv"] - exact.nash_conv) <= 4 * row["nash_conv_stderr"] < 0.31
    assert run.record.metrics[-1]["nash_conv"] < 0.7 * run.record.metrics[0]["nash_conv"]


def test_payoffs_are_those_of_the_policies(
    run: run_directory.StoredSampledRun, populations: list[tuple[Policy, ...]], tree: GameTree
) -> None:
    found = run.record.state.payoffs
    exact = exact_payoffs(tree, populations, np.empty((2, 0, 0)))
    assert (np.abs(found.mean - exact) < 4.5 * np.maximum(found.standard_error, 0.1)).all()
    assert (found.episodes >= 20).all() and found.episodes.max() > 100


def test_the_loaded_policy_is_the_exact_mixture(
    finished: tuple[pathlib.Path, str],
    run: run_directory.StoredSampledRun,
    populations: list[tuple[Policy, ...]],
    tree: GameTree,
) -> None:
    table = mixture_table(tree, populations, run.record.state.meta_strategy)
    expected = table_policy(tree, table)
    loaded = acme_psro.load_policy(finished[0])
    states, compared = [pyspiel.load_game(GAME).new_initial_state()], 0
    while states:
        state = states.pop()
        if not (state.is_terminal() or state.is_chance_node()):
            probabilities = loaded.action_probabilities(state)
            assert probabilities == pytest.approx(expected.action_probabilities(state), abs=1e-6)
            assert list(probabilities) == state.legal_actions()
            compared += 1
        states += [] if state.is_terminal() else [state.child(action) for action in state.legal_actions()]
    assert compared == 24
    assert str(loaded.game) == "kuhn_poker()"


def test_what_is_played_against_a_run_is_its_mixture(
    finished: tuple[pathlib.Path, str],
    run: run_directory.StoredSampledRun,
    populations: list[tuple[Policy, ...]],
    tree: GameTree,
) -> None:
    pytest.importorskip("dm_env", reason="it comes with the Acme layer, which ends at Python 3.10")
    from acme_psro.environments import opponents

    others = opponents.read_batched(str(finished[0]), GAME)
    drawn = others.draw(np.random.default_rng(0), 4000)
    for player, marginal in enumerate(run.record.state.meta_strategy.marginals):
        counts = np.bincount(drawn[:, player], minlength=len(marginal)) / 4000
        np.testing.assert_allclose(counts, marginal, atol=0.03)
    draw = opponents.read(str(finished[0]), GAME)
    assert len(draw(np.random.default_rng(0))) == 2  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"plays kuhn_poker\(\), not leduc_poker\(\): choose another"):
        opponents.read_batched(str(finished[0]), "leduc_poker")


def test_evaluate_prints_bounds_and_errors(
    finished: tuple[pathlib.Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ended = make_launch(evaluate.main, capsys)(f"--run_dir={finished[0]}")
    assert (ended.code, ended.err) == (0, "")
    figures, last = json.loads(ended.out), read_csv(finished[0] / "metrics.csv")[-1]
    assert (figures["game"], figures["players"], figures["iterations"]) == ("kuhn_poker()", 2, 3)
    assert figures["lower_bound"] is True and figures["meta_solver"] == "nash"
    for name in ("nash_conv", "exploitability"):
        assert all(figures[f"{name}{end}"] == last[f"{name}{end}"] for end in ("", "_stderr", "_lower"))
    assert figures["per_player_gain"] == [last["gain_0"], last["gain_1"]]
    assert figures["per_player_gain_stderr"] == [last["gain_0_stderr"], last["gain_1_stderr"]]
    assert figures["per_player_gain_lower"] == [last["gain_0_lower"], last["gain_1_lower"]]
    assert sum(figures["expected_returns"]) == pytest.approx(0.0, abs=1e-12)
    assert min(figures["expected_returns_stderr"]) > 0
    assert figures["populations"] == [last["population_0"], last["population_1"]]


@pytest.mark.parametrize("harm", ["truncate", "alter", "remove"])
def test_altered_policies_are_refused(
    finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path, harm: str
) -> None:
    copy = shutil.copytree(finished[0], tmp_path / "run")
    path = copy / "checkpoints" / "policies" / "player_1_00000.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if harm != "remove":
        path.write_bytes(data if harm == "alter" else data[:-10])
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole"):
        acme_psro.load_policy(copy)


def test_a_policy_that_nobody_can_decode_says_what_to_do(
    finished: tuple[pathlib.Path, str],
) -> None:
    with pytest.raises(ValueError, match=r"kind 'table': give load_policy a decoder") as refusal:
        acme_psro.load_policy(finished[0], {"uniform": decoders.decode_uniform})
    assert "\n" not in str(refusal.value)
    assert acme_psro.load_policy(finished[0]).game.num_players() == 2


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--payoffs=guessed"], ["'guessed'", "auto, exact, sampled"]),
        (["--oracle=exact"], ["--payoffs=sampled needs --oracle=launchpad"]),
        (["--payoff_episodes=1"], ["--payoff_episodes must be at least 2, not 1"]),
        (["--extra_payoff_episodes=-1"], ["--extra_payoff_episodes must be at least 0"]),
        (["--gain_episodes=1"], ["--gain_episodes must be at least 2"]),
        (["--payoff_workers=0"], ["--payoff_workers must be at least 1"]),
        (["--plateau_patience=1"], ["plateau_patience must be 0 (no plateau) or at least 2"]),
        (["--plateau_min_improvement=nan"], ["plateau_min_improvement"]),
        (["--learner_devices=0;1"], ["learner_devices", "0,1"]),
        (["--set=launchpad.exploiter_agent=dqn"], ["no exploiter agent named 'dqn'", "ppo"]),
        (["--set=launchpad.exploiter_steps=9"], ["needs exploiter_agent"]),
        (
            ["--set=launchpad.exploiter_agent=ppo", "--set=launchpad.exploiter_steps=9"],
            ["--set=launchpad.exploiter_steps=9 makes 9"],
        ),
        (["--game=coordinated_mp"], ["no tensors"]),
        (["--game=matrix_pd"], ["nash", "general-sum"]),
        (["--game=kuhn_pokr"], ["did you mean kuhn_poker"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    world: World,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    named: list[str],
) -> None:
    ended = make_launch(run_psro.main, capsys)(*FLAGS, f"--output_dir={tmp_path / 'run'}", *flags)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("error: ") and all(name in ended.err for name in named)
    assert list(tmp_path.iterdir()) == []


def test_exploiters_of_an_agent_of_their_own_learn_apart_from_the_responses(
    world: World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch = make_launch(run_psro.main, capsys)
    flags = (*FLAGS, f"--output_dir={tmp_path}", "--set=launchpad.exploiter_agent=ppo")
    assert launch(*flags, "--iterations=1").code == 0
    learned = {name: len(list((tmp_path / name).iterdir())) for name in ("responses", "exploiters")}
    assert learned == {"responses": 1, "exploiters": 1}
    assert is_known(read_csv(tmp_path / "metrics.csv")[-1])
    # A later iteration has to learn its own responses.
    assert launch(*flags, "--iterations=2", "--resume").code == 0
    assert len(list((tmp_path / "responses").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_what_an_exploiter_gains_is_no_more_than_an_exact_best_response(tmp_path: pathlib.Path) -> None:
    flags = ("--game=kuhn_poker", "--oracle=launchpad", "--payoffs=sampled", "--iterations=1")
    budget = ("--actor_steps_per_response=15000", "--gain_episodes=4000", "--payoff_workers=1")
    asked = ("--set=launchpad.exploiter_agent=ppo", "--set=launchpad.exploiter_steps=20000")
    ended = start("experiments.run_psro", *flags, *budget, *asked, f"--output_dir={tmp_path}")
    _, err = ended.communicate(timeout=900)
    assert ended.returncode == 0, err
    last = read_csv(tmp_path / "metrics.csv")[-1]
    exact = exploitability.nash_conv(pyspiel.load_game("kuhn_poker"), acme_psro.load_policy(tmp_path))
    # The estimate has an error, and a bound at 1.645 errors is above the truth once in twenty times.
    assert 0 < last["nash_conv"] < exact + 3 * last["nash_conv_stderr"]
    # It is far from what nothing would gain.
    assert last["nash_conv"] > exact / 2


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_programs_and_workers_play_a_game_too_large_to_compile(tmp_path: pathlib.Path) -> None:
    flags = (
        "--game=phantom_ttt",
        "--oracle=launchpad",
        "--payoffs=sampled",
        "--iterations=1",
        "--actor_steps_per_response=30000",
        "--payoff_episodes=200",
        "--extra_payoff_episodes=400",
        "--gain_episodes=1500",
        "--payoff_workers=1",
        f"--output_dir={tmp_path}",
    )
    ended = start("experiments.run_psro", *flags)
    out, err = ended.communicate(timeout=900)
    assert ended.returncode == 0, err
    assert "lower bounds" in out
    first, last = read_csv(tmp_path / "metrics.csv")
    # Even so short a training beats uniform play.
    assert first["nash_conv"] > 2 * first["nash_conv_stderr"] > 0
    assert is_known(last)
    state = pyspiel.load_game("phantom_ttt").new_initial_state()
    policy = acme_psro.load_policy(tmp_path)
    for _ in range(3):
        probabilities = policy.action_probabilities(state)
        assert sum(probabilities.values()) == pytest.approx(1.0)
        state.apply_action(max(probabilities, key=probabilities.__getitem__))
