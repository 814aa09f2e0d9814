"""Tests of the control benchmark and its peers around their runs; no real peer is started."""

import pathlib
import sys

import pytest

from experiments.benchmarks.control import __main__ as control
from experiments.benchmarks.control import report, runs
from experiments.benchmarks.peers import environment as peer_environment
from experiments.benchmarks.peers.conversation import Conversation
from experiments.benchmarks.peers.scripts import control_task


def script(path: pathlib.Path, text: str) -> pathlib.Path:
    """Makes an executable script that replaces a peer's interpreter."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


SETTINGS = runs.Settings(steps=300, width=64, learning_starts=100, evaluate_every=100, episodes=1)
TASK = "dm_control:cheetah:run"


def result_of(last_return: float, seconds: float = 10.0) -> runs.Result:
    return runs.Result({100: 0.0, 200: 1.0, 300: last_return}, seconds, 4.0, (0,))


def test_evaluations_are_at_their_marks() -> None:
    assert SETTINGS.marks == (100, 200, 300)
    assert SETTINGS._replace(steps=250).marks == (100, 200, 250)
    assert SETTINGS._replace(steps=50).marks == (50,)


def test_finished_runs_are_skipped(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun: list[runs.Job] = []

    def run(job: runs.Job, *_: object) -> runs.Result:
        begun.append(job)
        if job.side == "sbx":
            raise RuntimeError("no such luck")
        return result_of(50.0)

    todo = list(control.jobs(["crossq", "sbx"], [TASK], [0, 1]))
    assert [(job.side, job.seed) for job in todo] == [("crossq", 0), ("sbx", 0), ("crossq", 1), ("sbx", 1)]
    runs.write(tmp_path, todo[2], SETTINGS, result_of(7.0))
    assert control.run_missing(todo, SETTINGS, tmp_path, None, None, run) == 2
    assert begun == [todo[0], todo[1], todo[3]]
    assert runs.read(tmp_path, todo[0], SETTINGS) == result_of(50.0)
    assert runs.read(tmp_path, todo[1], SETTINGS) is None
    assert runs.read(tmp_path, todo[2], SETTINGS) == result_of(7.0)
    assert "sbx-dm_control_cheetah_run-1: FAILED: no such luck" in capsys.readouterr().err
    assert control.run_missing(todo, SETTINGS, tmp_path, None, 0.0, run) == 0
    assert len(begun) == 3


def test_results_of_other_settings_are_refused(tmp_path: pathlib.Path) -> None:
    job = runs.Job("crossq", TASK, 0)
    runs.write(tmp_path, job, SETTINGS, result_of(1.0))
    with pytest.raises(ValueError, match=r"of other settings \(width 64 not 128\): name another"):
        runs.read(tmp_path, job, SETTINGS._replace(width=128))
    (tmp_path / f"{job.name}.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is no result \(KeyError\('settings'\)\): remove it"):
        runs.read(tmp_path, job, SETTINGS)


def test_control_table_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    ours = {0: result_of(10.0), 1: result_of(14.0), 2: result_of(1000.0)}
    sides = {"crossq": ours, "sbx": {0: result_of(16.0, 24.0), 1: result_of(12.0, 24.0)}, "acme_sac": {}}
    report.print_task(TASK, sides, SETTINGS, "crossq")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == TASK
    rows = [" ".join(line.split()) for line in printed[3:6]]
    assert rows[0].startswith("acme_psro CrossQ 3 0.0 ± 0.0 1.0 ± 0.0 341.3 ± 329.3 6.0")
    assert rows[1] == "sbx-rl CrossQ 2 0.0 ± 0.0 1.0 ± 0.0 14.0 ± 2.0 20.0 ± 0.0 4.0 ± 0.0"
    assert rows[2] == "Acme SAC 0 - - - - -"


def bars_of(capsys: pytest.CaptureFixture[str], judged: str, sides: report.Results) -> list[str]:
    report.print_bars(TASK, sides, judged)
    return capsys.readouterr().out.splitlines()


def test_bars_are_of_common_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    ours = {0: result_of(10.0), 1: result_of(14.0), 2: result_of(1000.0)}
    sides = {"crossq": ours, "sbx": {0: result_of(16.0, 24.0), 1: result_of(12.0, 24.0)}}
    level, shorter, unmeasured = bars_of(capsys, "crossq", sides)
    # 12 ± 2 against 14 ± 2: the standard error is no excuse.
    assert level.endswith("at or above sbx-rl CrossQ's, 2 seeds: -2.0, standard error 2.8: MISSED")
    assert shorter.endswith("2 seeds: 6 s against 20 s, 3.3 times: met")
    assert unmeasured.endswith("above Acme SAC's, 0 seeds: not measured")
    sides["sbx"] = {0: result_of(9.0, 5.0)}
    level, longer, _ = bars_of(capsys, "crossq", sides)
    assert level.endswith("1 seed: +1.0, standard error unknown: met")
    assert longer.endswith("6 s against 1 s, LOST: 6.0 times slower: MISSED")


def test_level_is_enough_beside_one_peer_and_not_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    level = {0: result_of(7.0)}
    by_sbx, time, by_sac = bars_of(capsys, "crossq", {"crossq": level, "sbx": level, "acme_sac": level})
    assert "return at or above sbx-rl" in by_sbx and by_sbx.endswith(": met")
    assert "training no longer" in time and time.endswith(": met")
    assert "return above Acme SAC" in by_sac and by_sac.endswith(": MISSED")
    (mpo_by_sac,) = bars_of(capsys, "conditional_mpo", {"conditional_mpo": level, "acme_sac": level})
    assert "acme_psro MPO's mean return at or above Acme SAC" in mpo_by_sac and mpo_by_sac.endswith(": met")


def test_sides_are_the_judged_one_and_its_peers() -> None:
    assert control.sides_of("crossq", None) == ["crossq", "sbx", "acme_sac"]
    assert control.sides_of("conditional_mpo", None) == ["conditional_mpo", "acme_sac"]
    assert control.sides_of("conditional_mpo", ["crossq", "conditional_mpo"]) == ["crossq", "conditional_mpo"]
    with pytest.raises(ValueError, match="--judged=crossq is not among --sides=sbx: add it"):
        control.sides_of("crossq", ["sbx"])


@pytest.mark.parametrize("agent", runs.AGENTS)
def test_our_agents_are_run_by_name(
    agent: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """for flag; do case $flag in --output_dir=*) output=${flag#--output_dir=}; esac; done
mkdir -p $output
echo "$@" >&2
printf 'actor_steps,episode_return,evaluation_seconds\\n300,7.0,0.5\\n' > $output/evaluation.csv"""
    monkeypatch.setattr(sys, "executable", str(script(tmp_path / "python", text)))
    job = runs.Job(agent, "dm_control:cartpole:swingup", 4)
    done = runs.run(job, SETTINGS._replace(evaluate_every=300), tmp_path, None)
    assert done.returns == {300: 7.0}
    asked = (tmp_path / f"{agent}-dm_control_cartpole_swingup-4.log").read_text().split()
    assert asked[:2] == ["-m", "experiments.run_agent"]
    assert {f"--agent={agent}", "--environment=dm_control:cartpole:swingup", "--seed=4"} < set(asked)
    widths = {"--set=critic_hidden_sizes=[64,64]", "--set=policy_hidden_sizes=[64,64]"}
    assert widths | {"--actor_steps=300", "--set_replay=min_replay_size=100"} < set(asked)


def test_failing_run_is_reported(tmp_path: pathlib.Path) -> None:
    job = runs.Job("sbx", TASK, 0)
    with pytest.raises(RuntimeError, match=r"exit code 1, see .*sbx-dm_control_cheetah_run-0\.log"):
        runs.run(job, SETTINGS, tmp_path, script(tmp_path / "peer", "exit 1"))


def test_run_that_reports_is_read(tmp_path: pathlib.Path) -> None:
    lines = [f'{{"actor_steps": {m}, "episode_return": {m}, "evaluation_seconds": 0.5}}' for m in (100, 200)]
    peer = tmp_path / "peer"
    peer.write_text(
        "#!/bin/sh\necho this is no line of ours\n" + "".join(f"echo '{line}'\n" for line in lines)
    )
    peer.chmod(0o755)
    job = runs.Job("sbx", TASK, 0)
    done = runs.run(job, SETTINGS._replace(steps=200), tmp_path, peer)
    assert (done.returns, done.final_return, done.evaluation_seconds) == (
        {100: 100.0, 200: 200.0},
        200.0,
        1.0,
    )
    assert done.training_seconds == done.process_seconds - 1.0
    with pytest.raises(RuntimeError, match="left out its evaluation after 300 env steps"):
        runs.run(job, SETTINGS, tmp_path, peer)


def test_our_evaluations_are_taken_to_their_marks() -> None:
    rows = [
        {"actor_steps": steps, "episode_return": value, "evaluation_seconds": seconds}
        for steps, value, seconds in ((100, 1.0, 2.0), (230, 2.0, 5.0))
    ]
    first, second = runs.at_marks(rows, (100, 200, 300))
    assert first == rows[0]
    assert second == {"actor_steps": 200, "episode_return": 2.0, "evaluation_seconds": 3.0}


def test_task_reaches_the_peer() -> None:
    task = control_task.ControlTask(TASK, 3, 64, 100, (100, 200), 2)
    assert control_task.parse(control_task.flags_of(task)) == task


def test_peer_answers_until_it_ends(tmp_path: pathlib.Path) -> None:
    peer = script(tmp_path / "peer", "echo '{}'\nread question\necho $question\necho no more >&2\nexit 3")
    with Conversation(peer, "sbx_updates", []) as conversation:
        assert conversation.greeting == {}
        assert conversation.ask({"width": 1}) == {"width": 1}
        with pytest.raises(RuntimeError, match="sbx_updates ended with exit code 3:\nno more"):
            conversation.ask({"width": 2})


def test_peer_environment_is_made_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path))
    asked: list[str] = []

    def install(command: list[str], directory: pathlib.Path) -> None:
        asked.append(command[-1])
        directory.mkdir(exist_ok=True)
        (directory / "pyvenv.cfg").touch()

    monkeypatch.setattr(peer_environment, "_run", install)
    monkeypatch.setattr(peer_environment, "_find_python", lambda: pathlib.Path("python"))
    directory = tmp_path / "sbx"
    for _ in range(2):
        assert peer_environment.interpreter(directory, "torch") == directory / "bin" / "python"
    assert asked == [str(directory), "torch", peer_environment.REQUIREMENTS[-1]]
    assert peer_environment.default_directory() == tmp_path / "peers" / "sbx"
    # What was cut short, or is of other requirements, is made anew.
    assert not peer_environment.is_complete(directory, "another torch")
    peer_environment.interpreter(directory, "another torch")
    assert asked[3:] == [str(directory), "another torch", peer_environment.REQUIREMENTS[-1]]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    with pytest.raises(ValueError, match="mine holds something else: name an empty --peer_directory"):
        peer_environment.interpreter(tmp_path / "mine", "torch")
    assert (tmp_path / "mine" / "thesis").exists()


def test_peer_that_cannot_be_installed_is_reported(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = script(tmp_path / "python", "echo no disk >&2; echo 'ERROR: disk full' >&2; exit 1")
    monkeypatch.setattr(peer_environment, "_find_python", lambda: failing)
    with pytest.raises(ValueError, match=r"sbx-rl cannot be installed into .*: ERROR: disk full"):
        peer_environment.interpreter(tmp_path / "sbx", "torch")
    assert not peer_environment.is_complete(tmp_path / "sbx", "torch")
