"""Tests of runs whose members learn in one program, in a game small enough for exact results."""

import contextlib
import io
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import acme_psro
from acme_psro import StopRun
from acme_psro.agent_runs.neupl_program import exact_figures
from acme_psro.commands import evaluate, run_neupl
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, stored
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.tabular import make_policy, mixture_table
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.events import IterationEnded
from acme_psro.storage import run_directory
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Launch, exit_code, make_launch
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.population_runs.members_fakes import FLAGS, FakeProgram, faked_program

ARGUMENTS: dict[str, Any] = {
    "game": "kuhn_poker",
    "loop": "neupl",
    "oracle": "launchpad",
    "payoffs": "sampled",
    "neupl": {"population_size": 4},
    "show_progress": False,
}


@pytest.fixture
def program(tree: GameTree) -> Iterator[FakeProgram]:
    with faked_program(tree) as program:
        yield program


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_neupl.main, capsys)


@pytest.fixture(scope="module")
def members(
    tree: GameTree, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, str, FakeProgram]:
    """Returns the directory of a run of three epochs, its printed output and its program."""
    directory, out = tmp_path_factory.mktemp("runs") / "members", io.StringIO()
    with faked_program(tree) as program, contextlib.redirect_stdout(out):
        assert exit_code(run_neupl.main, *FLAGS, "--epochs=3", f"--output_dir={directory}") == 0
    return directory, out.getvalue(), program


Finished = tuple[pathlib.Path, str, FakeProgram]


class Stopping(Callback):
    def on_iteration(self, event: IterationEnded) -> None:
        if event.iteration == 2:
            raise StopRun("enough")


def test_a_run_says_that_nothing_is_known_of_exploitability(members: Finished) -> None:
    directory, out, _ = members
    lines = out.splitlines()
    assert "nothing exact is known of exploitability" in lines[0]
    rows = [line for line in lines if line.startswith("iteration")]
    assert [line.split()[1] for line in rows] == ["0/3", "1/3", "2/3", "3/3"]
    assert all("exploitability unknown  payoff drift" in line for line in rows)
    assert "effective size 4 of 4" in rows[-1]
    assert lines[-2] == (
        "Stopped after 3 iterations, as asked. Nothing exact is known of exploitability: the members' "
        "payoffs are estimated, and no exploiter was trained (--set=launchpad.exploiter_steps=100000 with "
        "--resume trains one for each player)."
    )
    report = (directory / "report.html").read_text()
    for words in ("Interaction graph of player 1", "Effective size", "Payoffs of player 0", "unknown"):
        assert words in report
    assert "nothing is known of exploitability" in report
    assert "Gap of each member" not in report
    config = json.loads((directory / "config.json").read_text())
    assert (config["loop"], config["payoffs"]) == ("neupl", "sampled")
    assert "max_nodes" not in config and "device" not in config


def test_rows_claim_nothing(members: Finished) -> None:
    rows = read_csv(members[0] / "metrics.csv")
    assert ",".join(list(rows[0])[:7]) == (
        "iteration,wall_seconds,episodes,env_steps,gradient_steps,nash_conv,exploitability"
    )
    for row in rows:
        unknown = [name for name in row if name.startswith(("nash_conv", "exploitability", "gain_", "gap_"))]
        assert len(unknown) == 14 and all(np.isnan(row[name]) for name in unknown)
        assert (row["population_0"], row["population_1"]) == (4, 4)
        assert row["effective_size"] >= 2 and row["meta_regret"] < 1e-6
    assert [row["gradient_steps"] for row in rows] == [0, 20, 40, 60]
    # The first payoffs are simulated by the run, all others by the program, whose counts include them.
    assert [row["payoff_episodes"] for row in rows] == [200, 240, 280, 320]
    assert [row["episodes"] for row in rows] == [200, 300, 400, 500]


def test_payoffs_and_members_are_those_of_the_program(members: Finished, tree: GameTree) -> None:
    directory, _, program = members
    newest = program.populations[-1]
    result = acme_psro.load_run(directory)
    np.testing.assert_array_equal(result.payoffs, newest.payoffs)
    # The error of an estimated payoff is unknown.
    assert np.isnan(result.payoff_standard_errors).all()
    populations = exact_figures.make_populations(tree, newest)
    expected = table_policy(tree, mixture_table(tree, populations, result.meta_strategy))
    loaded = acme_psro.load_policy(directory)
    state = loaded.game.new_initial_state().child(0).child(2)
    for _ in range(2):
        found = loaded.action_probabilities(state)
        assert found == pytest.approx(expected.action_probabilities(state), abs=1e-5)
        state = state.child(0)
    state = loaded.game.new_initial_state().child(0).child(2)
    assert result.member(0, 0).action_probabilities(state) == {0: 0.5, 1: 0.5}
    own = populations[0][3].table[list(tree.keys[tree.infosets_of(0)]).index("0")]
    assert list(result.member(0, 3).action_probabilities(state).values()) == pytest.approx(own, abs=1e-5)


def test_checkpoints_keep_members_as_they_were(members: Finished) -> None:
    policies = sorted(path.name for path in (members[0] / "checkpoints" / "policies").iterdir())
    manifests = sorted((members[0] / "checkpoints").glob("state_*.json"))
    # The sinks stay, and seven members in each of the last three checkpoints changed.
    named = {name for path in manifests for own in json.loads(path.read_text())["policies"] for name in own}
    assert len(manifests) == 3
    assert {f"policies/{name}" for name in policies} == named
    assert len(named) == 2 + 3 * 6


def test_evaluate_prints_what_is_known(members: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    ended = make_launch(evaluate.main, capsys)(f"--run_dir={members[0]}")
    assert (ended.code, ended.err) == (0, "")
    figures = json.loads(ended.out, parse_constant=pytest.fail)
    assert (figures["loop"], figures["iterations"], figures["populations"]) == ("neupl", 3, [4, 4])
    assert figures["exploitability"] is figures["nash_conv_lower"] is None
    assert figures["expected_returns_stderr"] == [None, None]
    last = acme_psro.load_run(members[0])
    one, other = last.meta_strategy.marginals
    assert figures["expected_returns"] == pytest.approx([one @ own @ other for own in last.payoffs])


def test_a_run_that_was_stopped_goes_on(
    program: FakeProgram, members: Finished, tmp_path: pathlib.Path
) -> None:
    stopped = acme_psro.run(**ARGUMENTS, iterations=3, output_dir=tmp_path, callbacks=[Stopping()])
    assert len(stopped.metrics) == 3
    acme_psro.run(**ARGUMENTS, iterations=3, output_dir=tmp_path, resume=True)
    assert program.launches == 2
    assert repr(untimed(tmp_path)) == repr(untimed(members[0]))
    record = run_directory.read(tmp_path).record
    np.testing.assert_array_equal(record.memory["history_epochs"], [1, 2, 3])
    expected = np.stack([population.graph for population in program.populations])
    np.testing.assert_allclose(record.memory["history_graphs"], expected, atol=1e-6)


def test_a_sink_may_come_from_a_file(
    program: FakeProgram, tree: GameTree, tmp_path: pathlib.Path, pure_table: Callable[..., np.ndarray]
) -> None:
    def write(seed: int) -> stored.StoredPolicy:
        policy = make_policy(tree, 1, pure_table(tree, seed)[tree.infosets_of(1)])
        made = decoders.from_tree_policy(tree, 1, policy)
        stored.write(tmp_path / "sink.npz", made)
        return made

    policy = write(0)
    arguments = ARGUMENTS | {"neupl": {"population_size": 4, "sink": str(tmp_path / "sink.npz")}}
    acme_psro.run(**arguments, iterations=1, output_dir=tmp_path / "run")
    run = run_directory.read(tmp_path / "run")
    assert run.config["neupl"]["sink_digest"] == stored.digest(policy)
    sinks = [stored.read(own[0].path) for own in run.record.state.populations]
    assert [stored.digest(sink) for sink in sinks] == [
        stored.digest(decoders.uniform("kuhn_poker()", 0)),
        stored.digest(policy),
    ]
    write(1)
    with pytest.raises(ValueError, match=r"another configuration \(neupl.sink_digest is") as refused:
        acme_psro.run(**arguments, iterations=2, output_dir=tmp_path / "run", resume=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--game=kuhn_poker(players=3)",), ["--loop=neupl is for two-player zero-sum games", "3-player"]),
        (("--game=matrix_pd",), ["general-sum"]),
        (("--game=coordinated_mp",), ["no tensors"]),
        (("--simplex=0.5",), ["simplex is not for NeuPL's program: leave it out, or use --oracle=device"]),
        (("--freezing", "--set=launchpad.freezing_games=9"), ["freezing_games must be at least 100"]),
        (("--sink=first_actions",), ["uniform or the file of a stored policy, not first_actions"]),
        (("--sink=/nowhere/a.npz",), ["a.npz cannot be read"]),
        (("--set=launchpad.payoffs=exact",), ["exact payoffs need a compiled game"]),
        (("--set=launchpad.epoch_steps=0",), ["epoch_steps must be at least 1"]),
        (("--set=launchpad.exploiter_steps=-1",), ["exploiter_steps must not be negative"]),
        (("--set=simulation.payoff_episodes=1",), ["payoff_episodes must be at least 2"]),
        (("--max_nodes=100",), ["--max_nodes needs --payoffs=exact or --payoffs=auto"]),
        (("--oracle=device",), ["--payoffs=sampled needs --oracle=launchpad"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    program: FakeProgram, launch: Launch, tmp_path: pathlib.Path, flags: tuple[str, ...], named: list[str]
) -> None:
    ended = launch(*FLAGS, *flags, f"--output_dir={tmp_path / 'run'}")
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"error: .*\n", ended.err)
    assert [words for words in named if words not in ended.err] == []
    assert list(tmp_path.iterdir()) == [] and program.launches == 0
