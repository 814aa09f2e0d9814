"""Tests of commands.run_neupl as its users run it: members in one network, and members that are exact."""

import json
import pathlib
import re
import shutil
import signal
import sys
import time
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.__main__ import COMMANDS
from acme_psro.commands import evaluate, run_neupl, run_psro
from acme_psro.games.loading import load_game
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Launch, exit_code, make_launch, start
from tests.acme_psro.display.events_test import read_events

needs_acme = pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
_TIMINGS = ("wall_seconds", "iteration_seconds")
_EXACT = ("--game=kuhn_poker", "--oracle=exact")
# A budget that learns next to nothing, fast.
_DEVICE = (
    "--game=kuhn_poker",
    "--population_size=4",
    "--freezing",
    *(
        f"--set=neupl.{setting}"
        for setting in ("rounds=1", "num_envs=16", "updates_per_round=2", "batch_size=16", "buffer_size=200")
    ),
    "--set=agent_settings.critic_hidden_sizes=[16]",
    "--set=agent_settings.policy_hidden_sizes=[16]",
)


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_neupl.main, capsys)


def _untimed(directory: pathlib.Path) -> str:
    rows = read_csv(directory / "metrics.csv")
    # As text, because NaN does not equal itself.
    return repr([{name: value for name, value in row.items() if name not in _TIMINGS} for row in rows])


# Members that are exact best responses.


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A whole run with exact members on Kuhn poker."""
    directory = tmp_path_factory.mktemp("runs") / "exact"
    assert exit_code(run_neupl.main, *_EXACT, f"--output_dir={directory}") == 0
    return directory


def test_exact_members_of_psro_s_graph_end_in_an_equilibrium(exact: pathlib.Path) -> None:
    rows = read_csv(exact / "metrics.csv")
    assert rows[-1]["exploitability"] == pytest.approx(0.0, abs=1e-7)
    assert rows[-1]["population_exploitability"] == pytest.approx(0.0, abs=1e-7)
    # PSRO grows by a policy an iteration; here all members move at once.
    assert len(rows) <= 9
    assert all((row["population_0"], row["population_1"]) == (8, 8) for row in rows)
    assert all(2 <= row["effective_size"] <= 8 for row in rows)
    config = json.loads((exact / "config.json").read_text())
    assert (config["loop"], config["iterations"]) == ("neupl", 100)
    assert "agent" not in config and "device" not in config


def test_exact_members_resume_to_the_figures_of_one_run(
    launch: Launch, exact: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = len(read_csv(exact / "metrics.csv")) - 1
    for iterations, flags in ((2, ()), (done, ("--resume",))):
        ended = launch(*_EXACT, f"--epochs={iterations}", f"--output_dir={tmp_path}", *flags)
        assert (ended.code, ended.err) == (0, "")
    # Only the last row has the population exploitability, and row 2 was the last one for a while.
    assert _untimed(tmp_path) == _untimed(exact)


def test_exact_members_have_a_history_in_the_report_and_take_no_jax(exact: pathlib.Path) -> None:
    report = (exact / "report.html").read_text()
    assert "Interaction graph of player 0" in report and "Gap of each member" in report
    process = start(
        "experiments.run_neupl",
        *_EXACT,
        f"--config={exact}",
        "--epochs=1",
        f"--output_dir={exact / 'again'}",
        options=("-X", "importtime"),
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "effective size" in out
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in err.splitlines() if "|" in line}
    assert "scipy" in imported
    assert not {"jax", "tensorflow", "acme", "haiku"} & imported


def test_the_command_is_a_word_of_acme_psro() -> None:
    assert COMMANDS["neupl"].module == run_neupl.__name__


# Members that share a network.


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, quick_module: None) -> pathlib.Path:
    """Two epochs of learning on Kuhn poker."""
    directory = tmp_path_factory.mktemp("runs") / "learned"
    assert exit_code(run_neupl.main, *_DEVICE, "--epochs=2", f"--output_dir={directory}") == 0
    return directory


def test_flags_and_settings_are_recorded_with_the_defaults_of_the_loop(learned: pathlib.Path) -> None:
    config = json.loads((learned / "config.json").read_text())
    assert (config["loop"], config["agent"], config["iterations"]) == ("neupl", "conditional_mpo", 2)
    assert config["neupl"] == {
        "population_size": 4,
        "freezing": True,
        "rounds": 1,
        "num_envs": 16,
        "updates_per_round": 2,
        "batch_size": 16,
        "buffer_size": 200,
    }


def test_rows_have_the_figures_of_members(learned: pathlib.Path) -> None:
    rows = read_csv(learned / "metrics.csv")
    assert [row["gradient_steps"] for row in rows] == [0, 2, 4]
    assert all(row["effective_size"] <= 4 and row["population_1"] == 4 for row in rows)
    assert [row["frozen_members"] >= 1 for row in rows] == [False, True, True]
    assert all(np.isfinite(row["population_exploitability"]) for row in rows)


@pytest.mark.long
def test_payoffs_can_be_learned_from_games_with_an_agent_that_keeps_none(
    launch: Launch, quick_module: None, tmp_path: pathlib.Path
) -> None:
    settings = ("payoffs=estimated", "evaluation=0.5", "rounds=1", "num_envs=16", "updates_per_round=2")
    ended = launch(
        "--game=kuhn_poker",
        "--agent=vmpo",
        "--population_size=3",
        *(f"--set=neupl.{setting}" for setting in (*settings, "batch_size=16")),
        "--set=agent_settings.critic_hidden_sizes=[16]",
        "--set=agent_settings.policy_hidden_sizes=[16]",
        "--epochs=2",
        "--devices=0",
        f"--output_dir={tmp_path}",
    )
    assert (ended.code, ended.err) == (0, "")
    rows = read_csv(tmp_path / "metrics.csv")
    assert np.isnan(rows[0]["payoff_error"])
    assert all(0 < row["payoff_error"] < 2 for row in rows[1:])
    # Half of the games, 32 of those that a round begins with, are played for payoffs alone.
    assert rows[1]["episodes"] >= 2 * 32
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["agent"], config["neupl"]["payoffs"]) == ("vmpo", "estimated")
    # What is stored is what the graph and the players' play followed from.
    run = acme_psro.load_run(tmp_path)
    true = exact_payoffs(run._run.tree, run._run.record.state.populations)
    assert np.abs(run.payoffs - true).mean() == pytest.approx(rows[2]["payoff_error"])


def test_report_and_events_show_the_interaction_graph_over_time(learned: pathlib.Path) -> None:
    report = (learned / "report.html").read_text()
    for words in ("Interaction graph of player 1", ">epoch 2<", "Gap of each member", "Payoffs of player 0"):
        assert words in report
    values = [value for event in read_events(learned / "events") for value in event.summary.value]
    images = {value.tag for value in values if value.WhichOneof("value") == "image"}
    assert {"graph-0", "graph-1", "member-gaps", "payoffs"} <= images
    assert len(images) == report.count("<svg")


def test_a_run_is_evaluated_and_loads_with_the_figures_that_it_printed(
    learned: pathlib.Path, capsys: Any
) -> None:
    last = read_csv(learned / "metrics.csv")[-1]
    described = json.loads(make_launch(evaluate.main, capsys)(f"--run_dir={learned}").out)
    assert (described["loop"], described["populations"]) == ("neupl", [4, 4])
    for name in ("exploitability", "population_exploitability"):
        assert described[name] == pytest.approx(last[name], abs=1e-9)
    policy = acme_psro.load_policy(learned)
    assert exploitability.nash_conv(load_game("kuhn_poker"), policy) == pytest.approx(
        last["nash_conv"], abs=1e-6
    )
    result = acme_psro.load_run(learned)
    assert result.payoffs.shape == (2, 4, 4)
    # Member 0 is the sink, which never learns.
    sink = result.member(0, 0)
    state = sink.game.new_initial_state().child(0).child(1)
    assert sink.action_probabilities(state) == pytest.approx({0: 0.5, 1: 0.5})


@pytest.mark.long
def test_a_run_s_own_configuration_makes_the_same_run_again(
    launch: Launch, learned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    again = tmp_path / "again"
    assert launch(f"--config={learned}", f"--output_dir={again}").code == 0
    assert _untimed(again) == _untimed(learned)


def _stop_after_two_epochs(directory: pathlib.Path, flags: tuple[str, ...], **environment: str) -> int:
    """Starts a run, kills it without warning, and returns the epochs it had done."""
    process = start("experiments.run_neupl", *flags, f"--output_dir={directory}", **environment)
    metrics, deadline = directory / "metrics.csv", time.monotonic() + 120
    try:
        while not metrics.exists() or len(metrics.read_bytes().splitlines()) < 4:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()
    return len(read_csv(metrics)) - 1


def _arrays(directory: pathlib.Path, epochs: int) -> dict[str, np.ndarray]:
    """Returns all that the last checkpoint keeps: payoffs, strategies, network, buffer, what is frozen."""
    with np.load(directory / "checkpoints" / f"state_{epochs:05d}.npz") as archive:
        return dict(archive)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: pathlib.Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    # Learning rates end with the epochs planned, so that the killed run must be asked for all of them.
    epochs = 12
    flags = (*_DEVICE, f"--epochs={epochs}")
    # Compiling is nearly all that such a run does: let the three processes share what is compiled.
    shared = {"ACME_PSRO_CACHE": str(tmp_path / "cache"), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    assert 2 <= _stop_after_two_epochs(killed, flags, **shared) < epochs
    for directory, more in ((killed, ("--resume",)), (whole, ())):
        process = start("experiments.run_neupl", *flags, f"--output_dir={directory}", *more, **shared)
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == f"report: {directory / 'report.html'}"
    assert _untimed(killed) == _untimed(whole)
    mine, theirs = _arrays(killed, epochs), _arrays(whole, epochs)
    assert mine.keys() == theirs.keys() and any(name.startswith("memory_leaf_") for name in mine)
    for name, values in mine.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)
    policies = [
        {path.name: path.read_bytes() for path in (directory / "checkpoints" / "policies").iterdir()}
        for directory in (killed, whole)
    ]
    assert policies[0] == policies[1]


# Bad input.


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--population_size=1",), ["--population_size must be at least 2", "not 1"]),
        (("--graph=nash",), ["--graph=nash is not known", "psro_nash"]),
        (("--sink=mine",), ["uniform, first_actions, or the file of a stored policy", "not mine"]),
        (("--sink=/nowhere/a.npz",), ["a.npz cannot be read"]),
        (("--simplex=1.5",), ["simplex must lie in [0, 1]"]),
        (("--active_members=-1",), ["active_members must not be negative"]),
        (("--agent=crossq", "--oracle=device"), ["--agent=conditional_mpo or vmpo, not crossq"]),
        (("--agent=vmpo", "--oracle=launchpad"), ["--agent=vmpo learns from its newest decisions alone"]),
        (
            ("--oracle=device", "--set=agent_settings.on_policy=true"),
            ["agent_settings.on_policy follows from --agent, which is vmpo for V-MPO"],
        ),
        (
            ("--oracle=device", "--agent=vmpo", "--set=neupl.buffer_size=100"),
            ["neupl.buffer_size follows from --agent=vmpo"],
        ),
        (
            ("--oracle=device", "--agent=vmpo", "--set=agent_settings.target_policy_period=3"),
            ["agent_settings.target_policy_period follows from --agent=vmpo"],
        ),
        (("--set=neupl.payoffs=estimated",), ["neupl.payoffs needs --oracle=device"]),
        (
            ("--set=neupl.payoffs=sampled", "--oracle=device"),
            ["neupl.payoffs must be one of exact, estimated"],
        ),
        (("--set=neupl.evaluation=1", "--oracle=device"), ["evaluation must lie between 0 and 1"]),
        (("--num_seeds=0",), ["--num_seeds must be at least 1"]),
        (("--num_seeds=2",), ["exact responses are the same for every seed"]),
        (("--devices=0",), ["--devices needs --oracle=device, and has no effect otherwise"]),
        (("--devices=7", "--oracle=device"), ["there is no device 7: this process has 0"]),
        pytest.param(
            ("--oracle=launchpad", "--set=neupl.payoffs=estimated"),
            ["the program has launchpad.payoffs"],
            marks=needs_acme,
        ),
        pytest.param(
            ("--oracle=launchpad", "--simplex=0.5"), ["simplex is not for NeuPL's program"], marks=needs_acme
        ),
        pytest.param(
            ("--oracle=launchpad", "--sink=first_actions"),
            ["sink of NeuPL's program is uniform or the file of a stored policy"],
            marks=needs_acme,
        ),
        pytest.param(
            ("--oracle=launchpad", "--set=launchpad.epoch_steps=0"), ["epoch_steps must be"], marks=needs_acme
        ),
        (("--game=phantom_ttt",), ["phantom_ttt() has more than"]),
        (("--game=kuhn_poker(players=3)",), ["--loop=neupl is for two-player zero-sum games", "3-player"]),
        (("--game=matrix_pd",), ["general-sum"]),
        (("--max_nodes=10",), ["10"]),
        (("--iterations=0",), ["--iterations must be at least 1"]),
        (("--epochs=0",), ["--iterations must be at least 1"]),
        (("--epochs=many",), ["--iterations must be a whole number", "many"]),
        (("--loop=xdo",), ["acme-psro run --loop=xdo"]),
        (("--set=neupl.rounds=0",), ["rounds must be at least 1"]),
        (("--set=neupl.round=1",), ["neupl.round", "rounds"]),
        (("--set=neupl.rounds=few",), ["neupl's rounds must be a whole number", "few"]),
        (("--set=device.snapshots=2",), ["--set=device.snapshots needs --loop=psro"]),
        (("--num_envs=8",), ["--num_envs needs --loop=psro", "--set=neupl.num_envs"]),
        (("--gradient_steps_per_response=8",), ["needs --loop=psro"]),
        (("--preset=fast",), ["--preset needs --loop=psro"]),
        (("--graph=cycle", "--set=neupl.graph=cycle"), ["--graph and --set=neupl.graph are the same"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    launch: Launch, tmp_path: pathlib.Path, flags: tuple[str, ...], named: list[str]
) -> None:
    directory = tmp_path / "run"
    ended = launch(*_EXACT, *flags, f"--output_dir={directory}")
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"error: .*\n", ended.err)
    assert [words for words in named if words not in ended.err] == []
    assert not directory.exists()


def test_numbers_that_follow_from_the_population_are_refused(launch: Launch, tmp_path: pathlib.Path) -> None:
    flags = (*_DEVICE, "--set=agent_settings.mixture_size=3", f"--output_dir={tmp_path / 'run'}")
    ended = launch(*flags)
    assert ended.code == 2
    assert "agent_settings.mixture_size follows from the population: leave it out" in ended.err


def test_members_are_refused_where_populations_grow(tmp_path: pathlib.Path, capsys: Any) -> None:
    ended = make_launch(run_psro.main, capsys)(*_EXACT, "--population_size=4", f"--output_dir={tmp_path}")
    assert ended.code == 2
    assert "--population_size needs --loop=neupl, and has no effect otherwise" in ended.err


def test_the_file_of_another_loop_gives_its_game_but_not_its_loop(
    launch: Launch, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"game": "kuhn_poker", "loop": "psro", "oracle": "exact", "iterations": 2}))
    ended = launch(f"--config={file}", f"--output_dir={tmp_path / 'run'}")
    assert (ended.code, ended.err) == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["loop"], config["iterations"]) == ("neupl", 2)


def test_a_run_with_other_members_is_not_resumed(
    launch: Launch, learned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(learned, tmp_path / "run")
    ended = launch(*_DEVICE, "--population_size=5", "--epochs=3", f"--output_dir={copy}", "--resume")
    assert ended.code == 2
    assert "neupl.population_size is 4, not 5" in ended.err
