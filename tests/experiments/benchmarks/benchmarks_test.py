"""Tests that run benchmarks as users do, with tiny budgets; no measured time is checked."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from experiments.benchmarks.shared import processes, table
from experiments.benchmarks.shared.curves import Point, first_reached, latest

ROOT = pathlib.Path(__file__).resolve().parents[3]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path))


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    """Runs a benchmark; modules in `tmp_path` come before installed ones."""
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}

    def call(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"experiments.benchmarks.{name}", *flags]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    return call


@pytest.fixture
def needs_psro_v2() -> None:
    """Skips the test if the extra `benchmarks` is not installed."""
    pytest.importorskip("networkx")
    pytest.importorskip("cvxopt" if sys.version_info < (3, 11) else "ecos")


def rows_of(printed: str) -> dict[str, str]:
    """Returns printed lines by their text before the first two spaces or colon and space."""
    lines = [line.replace(": ", "  ").partition("  ") for line in printed.splitlines() if line]
    return {name: rest for name, _, rest in lines}


def test_traversal_agrees_with_both_peers(run: Run) -> None:
    done = run("traversal", "--game=kuhn_poker", "--repetitions=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("0.916666667") == 3
    assert done.stdout.count("bar: all agree") == 2
    assert "MISSED" not in done.stdout
    assert "machine: " in done.stdout


def test_beliefs_measure_policies_and_mixtures(run: Run) -> None:
    done = run("beliefs", "--game=dark_hex(board_size=2)", "--members=1,8", "--repetitions=1")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    # NashConv of uniform play is 1.25 on the tree, too.
    assert rows["uniform play"].split()[0] == "0.625000000"
    assert {"1 random", "8 random"} <= set(rows)
    assert "under 180.00 s" in done.stdout and "under 900.00 s" in done.stdout
    assert "MISSED" not in done.stdout


def test_rollouts_agree_with_exact_returns(run: Run) -> None:
    sizes = ("--lanes=64", "--games_per_lane=20", "--peer_episodes=200", "--repetitions=2")
    done = run("rollouts", "--game=kuhn_poker", *sizes)
    assert done.returncode == 0, done.stderr
    for side in ("acme_psro rollout.play", "pyspiel, loop of example.py", "pyspiel, fastest Python loop"):
        assert done.stdout.count(f"\n{side}") == 2
    assert "standard errors of the exact ones" in done.stdout
    assert "MISSED" not in done.stdout


@pytest.mark.slow
def test_graph_rollouts_show_the_device_beside_an_actor(run: Run) -> None:
    pytest.importorskip("reverb")
    sizes = ("--lanes=64", "--games_per_lane=20", "--actor_steps=400", "--repetitions=1")
    done = run("graph_rollouts", "--game=tic_tac_toe", *sizes)
    assert done.returncode == 0, done.stderr
    assert "4,521 nodes" in done.stdout
    assert "standard errors of the exact ones" in done.stdout
    assert rows_of(done.stdout)["actor, 16 games at a time"].split()[-1] == "times"


def test_exact_psro_compares_where_both_sides_have_been(run: Run, needs_psro_v2: None) -> None:
    sizes = ("--iterations=2", "--peer_iterations=3", "--sims_per_entry=50", "--repetitions=1")
    done = run("exact_psro", "--game=kuhn_poker", *sizes)
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    # The first responses are to uniform players, exact on both sides.
    assert rows["1"].split()[-2:] == ["0.416667", "0.416667"]
    assert "times" in rows["2"]
    assert rows["3"].split()[0] == "-"
    assert "both sides did 2 here" in done.stdout


@pytest.mark.slow
def test_device_psro_shows_both_sides(run: Run, needs_psro_v2: None, tmp_path: pathlib.Path) -> None:
    ours = ("--seeds=1", "--iterations=1", "--run_flag=--gradient_steps_per_response=20")
    short = "--matched_run_flags=--num_envs=16,--batch_size=32,--gradient_steps_per_response=20"
    peer = ("--peer_episodes=50", "--peer_episodes_per_response=20", "--peer_sims_per_entry=5")
    figure = tmp_path / "curves.png"
    done = run("device_psro", "--game=kuhn_poker", *ours, short, *peer, f"--figure={figure}")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert int(rows["psro_v2, DQN"].split()[0]) >= 50
    assert rows["acme_psro, seed 1, no more"].split()[:2] == ["0", "0.4583"]
    assert int(rows["acme_psro, few games side by side, seed 1, at least"].split()[0].replace(",", "")) >= 50
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_device_psro_without_its_peer(run: Run) -> None:
    exact = ("--run_flag=--oracle=exact", "--iterations=20", "--peer_episodes=0")
    done = run("device_psro", "--game=kuhn_poker", "--seeds=3", *exact)
    assert done.returncode == 0, done.stderr
    shown = [line.split() for line in done.stdout.splitlines() if line.startswith("3 ")]
    # Exploitability, iterations, episodes: exact best responses converge, and play no games.
    assert shown[0][-5:-2] == ["0.0000", "6", "0"]
    assert [cell for cell in shown[1] if cell == "never"] == []
    assert "psro_v2" not in done.stdout


@pytest.mark.parametrize("name", ["exact_psro", "device_psro"])
def test_missing_peer_is_named(name: str, run: Run, tmp_path: pathlib.Path) -> None:
    for package in ("networkx", "cvxopt", "cvxpy"):
        (tmp_path / f"{package}.py").write_text("raise ModuleNotFoundError('no such package')")
    done = run(name, "--game=kuhn_poker")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be imported (no such package)" in done.stderr
    assert "pip install -e .[benchmarks]" in done.stderr


@pytest.mark.parametrize(
    ("name", "flag", "said"),
    [
        ("traversal", "--game=kuhn_poker(players=3)", "two-player zero-sum"),
        ("beliefs", "--members=1,0", "--members takes whole numbers, 1 or more"),
        ("rollouts", "--lanes=0", "--lanes must be at least 1, not 0."),
        ("graph_rollouts", "--lanes=0", "--lanes must be at least 1, not 0."),
        ("graph_rollouts", "--max_nodes=28", "has more than 28 nodes"),
        ("exact_psro", "--sims_per_entry=0", "--sims_per_entry must be at least 1, not 0."),
        ("device_psro", "--seeds=0,x", "--seeds takes numbers"),
        ("crossq_updates", "--widths=256,0", "--widths takes whole numbers, 1 or more"),
        ("crossq_updates", "--gradient_steps=100", "must be a multiple of the policy's delay, 3, not 100."),
        ("mpo_updates", "--gradient_steps=100", "must be a multiple of CrossQ's policy delay, 3, not 100."),
        ("mpo_updates", "--kinds=discreet", "no kind of actions 'discreet': --kinds takes continuous"),
        ("control", "--sides=crossq,ours", "no side 'ours': --sides takes crossq, conditional_mpo, sbx,"),
        ("control", "--judged=sbx", "--judged"),
        ("control", "--tasks=cheetah", "no task 'cheetah'"),
        ("control", "--seeds=", "--seeds takes whole numbers, 0 or more"),
        ("control", "--steps=0", "--steps must be at least 1, not 0."),
        ("control", "--cores=4096", "--cores names CPU 4096"),
    ],
)
def test_bad_input_is_one_line(name: str, flag: str, said: str, run: Run) -> None:
    done = run(name, flag)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"error: {done.stderr.partition('error: ')[2].strip()}"]
    assert said in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("kind", [pytest.param("continuous", marks=pytest.mark.slow), "discrete"])
@pytest.mark.slow
def test_mpo_updates_show_both_agents_and_all_parts(kind: str, run: Run) -> None:
    done = run("mpo_updates", f"--kinds={kind}", "--widths=64", "--batch_size=64", "--gradient_steps=3")
    assert done.returncode == 0, done.stderr
    assert f"bar: {kind} actions, width 64, at most 1.3 times CrossQ's time: " in done.stdout
    rows = {name: rest.split() for name, rest in rows_of(done.stdout).items()}
    assert rows["CrossQ"][-1] == "1.00"
    parts = [rest for name, rest in rows.items() if name.startswith("conditional MPO's")]
    # Continuous actions are judged in two parts, as the policy is not updated every time.
    assert len(parts) == (4 if kind == "discrete" else 5)
    assert sum(int(rest[-1].rstrip("%")) for rest in parts) == pytest.approx(100, abs=2)
    # An update's operations are those of its parts.
    assert sum(float(rest[1]) for rest in parts) == pytest.approx(float(rows["conditional MPO"][1]), abs=0.25)
    assert float(rows["conditional MPO"][1]) > 5


def test_process_is_ended_at_its_limit() -> None:
    flags = ["--game=kuhn_poker", "--oracle=exact", "--iterations=5"]
    ended = processes.run_psro(flags, processes.Until(episodes=0))
    assert not ended.finished
    assert ended.points[0] == Point(ended.points[0].seconds, 0, pytest.approx(11 / 24))
    with pytest.raises(ValueError, match="before its first row"):
        processes.run_psro(flags, processes.Until(seconds=0.0))


def test_points_are_found() -> None:
    points = [Point(1.0, 0, 0.5), Point(2.0, 10, 0.1), Point(3.0, 20, 0.3)]
    assert first_reached(points, 0.3) == points[1]
    assert first_reached(points, 0.05) is None
    assert latest(points, 2.5) == points[1]
    assert latest(points, 9.0, most_episodes=10) == points[1]
    assert latest(points, 0.5) is None


def test_process_that_refuses_is_reported() -> None:
    with pytest.raises(ValueError, match="refused: unknown game 'kuhn_pokr'"):
        processes.run_psro(["--game=kuhn_pokr"], processes.Until())


def test_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    table.print_table(["side", "n"], [["a", "1,000"], ["long name", "7"]])
    assert capsys.readouterr().out.splitlines() == [
        "side           n",
        "---------  -----",
        "a          1,000",
        "long name      7",
        "",
    ]
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        table.print_table(["side", "n"], [["a", "b"], ["a"]])


def test_loss_is_said() -> None:
    assert table.speedup(2.0, 5.0) == "2.5 times"
    assert table.speedup(5.0, 2.0) == "LOST: 2.5 times slower"


def test_bar_says_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    for met in (True, False, None):
        table.print_bar("fast", met)
    assert capsys.readouterr().out.splitlines() == [
        "bar: fast: met",
        "bar: fast: MISSED",
        "bar: fast: not judged",
    ]


def test_medians_take_turns() -> None:
    calls: list[str] = []
    taken = table.medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b", "a", "b"]
    assert taken.keys() == {"a", "b"}
