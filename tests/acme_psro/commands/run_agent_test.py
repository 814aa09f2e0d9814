"""Tests of commands.run_agent as its users run it.

Most run in this process, as `python -m experiments.run_agent` would with the same arguments; a run that is
killed is a real one. Training itself is tested in agent_runs/.
"""

import functools
import importlib
import importlib.util
import itertools
import json
import math
import pathlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from acme_psro.agent_runs import installed
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.system.lock import locked
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Ended, Launch, contents, imported, make_launch, start

pytestmark = pytest.mark.usefixtures("quick_module")

_KUHN = "--environment=openspiel:kuhn_poker"
# Learns next to nothing, fast.
_SMALL = (
    _KUHN,
    "--set=critic_hidden_sizes=[8]",
    "--set=policy_hidden_sizes=[8]",
    "--set=num_critics=1",
    "--set_replay=batch_size=16",
    "--set_replay=min_replay_size=40",
    "--set_replay=samples_per_insert=4",
    "--set_replay=gradient_steps_per_learner_step=1",
)

needs_acme = pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")


@pytest.fixture(scope="module")
def run_agent() -> Iterator[Any]:
    """The launcher module, whose flags temporarily replace flags of other launchers with the same names."""
    with imported("acme_psro.commands.run_agent") as module:
        yield module


@pytest.fixture
def launch(run_agent: Any, capfd: pytest.CaptureFixture[str]) -> Launch:
    """Runs the launcher with these arguments in this process."""
    return make_launch(run_agent.main, capfd)


_process = functools.partial(start, "experiments.run_agent")


def _assert_refused(ended: Ended, *named: str) -> None:
    """Asserts one clear line of error, exit code 2 and no traceback."""
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"error: .*\n", ended.err)
    assert [name for name in named if name not in ended.err] == []


# Runs.


@needs_acme
def test_flags_say_what_is_run(tmp_path: pathlib.Path, launch: Launch) -> None:
    directory = tmp_path / "run"
    ended = launch(
        *_SMALL,
        "--actor_steps=60",
        "--seed=3",
        "--player=1",
        "--evaluate_every=30",
        "--evaluation_episodes=5",
        "--plateau_patience=7",
        "--plateau_min_improvement=0.5",
        "--set=q_reduction=min",
        "--set=learning_rate=0.01",
        f"--output_dir={directory}",
    )
    assert (ended.code, ended.err) == (0, "")
    started, *lines, curve = ended.out.splitlines()
    assert started == f"crossq in openspiel:kuhn_poker: 60 steps, learner on cpu, directory {directory}"
    assert curve == f"curve: {directory / 'evaluation.png'}"
    assert lines[1] == "compiling the learner's update"
    evaluations = [lines[0], *lines[2:]]
    assert all(re.match(r" +\d+ steps  return .* exactly .* of ", line) for line in evaluations)
    rows = read_csv(directory / "evaluation.csv")
    assert len(rows) == len(evaluations) == 2
    assert [row["episodes"] for row in rows] == [5, 5]
    config = AgentRunConfig.from_json(json.loads((directory / "config.json").read_text()))
    assert config == AgentRunConfig(
        agent="crossq",
        environment="openspiel:kuhn_poker",
        actor_steps=60,
        seed=3,
        player=1,
        evaluate_every=30,
        evaluation_episodes=5,
        plateau_patience=7,
        plateau_min_improvement=0.5,
        agent_settings={
            "critic_hidden_sizes": [8],
            "policy_hidden_sizes": [8],
            "num_critics": 1,
            "q_reduction": "min",
            "learning_rate": 0.01,
        },
        replay_settings={
            "batch_size": 16,
            "min_replay_size": 40,
            "samples_per_insert": 4,
            "gradient_steps_per_learner_step": 1,
        },
    )


_LEARNS = (
    "--set=critic_hidden_sizes=[8]",
    "--set=policy_hidden_sizes=[8]",
    "--set_replay=batch_size=16",
    "--set_replay=min_replay_size=16",
    "--set_replay=gradient_steps_per_learner_step=1",
    "--actor_steps=100",
    "--evaluation_episodes=2",
)


@needs_acme
@pytest.mark.parametrize(
    ("agent", "flags", "times"),
    [
        ("crossq", (_KUHN, "--set=num_critics=1"), 4),
        ("conditional_mpo", (_KUHN, "--set=retrace=true", "--set_replay=sequence_length=4"), 4),
        ("vmpo", (_KUHN, "--set_replay=n_step=2"), 1),
        ("conditional_mpo", ("--environment=gymnasium:Pendulum-v1", "--set_replay=n_step=3"), 4),
    ],
    ids=["crossq", "conditional_mpo, retrace", "vmpo", "conditional_mpo, continuous"],
)
def test_every_agent_learns(
    agent: str, flags: tuple[str, ...], times: int, tmp_path: pathlib.Path, launch: Launch
) -> None:
    directory = tmp_path / "run"
    drawn = f"--set_replay=samples_per_insert={times}"
    ended = launch(f"--agent={agent}", *flags, drawn, *_LEARNS, f"--output_dir={directory}")
    assert (ended.code, ended.err) == (0, "")
    (row,) = read_csv(directory / "evaluation.csv")
    # If a decision is drawn four times, four of them make a batch; the first batches wait for whole
    # sequences, and the last for the end of the episode. A queue leaves less than a batch.
    due = row["actor_steps"] * times // 16
    assert due - (10 if times > 1 else 0) <= row["gradient_steps"] <= due
    assert all(math.isfinite(value) for value in row.values())
    assert ("exact_value" in row) == (_KUHN in flags)


@needs_acme
def test_runs_go_to_a_directory_named_after_them(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--environment=openspiel:kuhn_poker(players=2)", "--actor_steps=40", "--seed=3")
    assert launch(*_SMALL, *flags).code == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["crossq-kuhn_poker_players=2-3"]
    _assert_refused(launch(*_SMALL, *flags), "holds this run already", "--resume")


@needs_acme
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: pathlib.Path, launch: Launch) -> None:
    directory = tmp_path / "run"
    flags = (*_SMALL, "--evaluate_every=50", f"--output_dir={directory}")
    process = _process(*flags, "--actor_steps=1000000")
    evaluations, deadline = directory / "evaluation.csv", time.monotonic() + 120
    try:
        while not evaluations.exists() or len(evaluations.read_bytes().splitlines()) < 4:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    saved = max(int(path.name) for path in (directory / "checkpoints").iterdir() if path.name.isdigit())
    before = [row for row in read_csv(evaluations) if row["actor_steps"] <= saved]
    total = saved + 120
    ended = launch(*flags, f"--actor_steps={total}", "--resume")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[1] == f"resuming from {saved:,} steps"
    rows = read_csv(evaluations)
    assert rows[: len(before)] == before
    steps = [row["actor_steps"] for row in rows]
    assert steps == sorted(set(steps))
    assert total <= steps[-1] <= total + 1
    # One for each 50 decisions, and the last.
    assert all(later // 50 - earlier // 50 in (0, 1) for earlier, later in itertools.pairwise(steps))
    assert len(rows) in (total // 50, total // 50 + 1)
    assert [row["gradient_steps"] for row in rows] == sorted(row["gradient_steps"] for row in rows)


# Bad input.


@needs_acme
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--agent=dqn"], ["no agent named 'dqn'", "crossq"]),
        (
            ["--environment=cartpole"],
            ["'cartpole'", "dm_control:DOMAIN:TASK, gymnasium:ID or"],
        ),
        (["--environment=atari:pong"], ["'atari:pong'"]),
        (["--environment=dm_control:cartpole:swingdown"], ["did you mean cartpole:swingup"]),
        (["--environment=gymnasium:HalfChetah-v5"], ["did you mean HalfCheetah-v5"]),
        (["--environment=openspiel:kuhn_pokr"], ["unknown game 'kuhn_pokr'", "kuhn_poker"]),
        (["--environment=openspiel:kuhn_pokr", "--distributed"], ["unknown game 'kuhn_pokr'", "kuhn_poker"]),
        (["--distributed", "--num_actors=9999"], ["--num_actors=9999", "--games_per_actor"]),
        (["--preset=large"], ["no preset named 'large'", "default, paper, sbx, discrete, games"]),
        (
            ["--agent=conditional_mpo", "--preset=paper"],
            ["no preset named 'paper'; conditional_mpo has default, acme, games"],
        ),
        (["--agent=vmpo", "--preset=vmpo"], ["no preset named 'vmpo'; vmpo has default, games"]),
        (["--agent=conditional_mpo", "--set=retrace=true"], ["sequence_length above 1", "n_step 1"]),
        (["--agent=crossq", "--set_replay=sequence_length=8"], ["CrossQ", "sequences"]),
        (["--agent=vmpo", "--set=exploration=0.1"], ["V-MPO", "exploration must be 0"]),
        (["--set=colour=red"], ["no setting 'colour'", "learning_rate"]),
        (["--set_replay=colour=red"], ["no setting 'colour'", "batch_size"]),
        (["--set=learning_rate"], ["--set takes NAME=VALUE", "'learning_rate'"]),
        (["--set=learning_rate="], ["--set takes NAME=VALUE"]),
        (["--set_replay==3"], ["--set_replay takes NAME=VALUE"]),
        (["--set=learning_rate=abc"], ["learning_rate must be a number", "'abc'"]),
        (["--set=critic_hidden_sizes=[8"], ["critic_hidden_sizes must be a list of whole numbers", "'[8'"]),
        (["--set_replay=batch_size=1.5"], ["batch_size must be a whole number", "1.5"]),
        (["--set=learning_rate=-1"], ["learning_rate must be above 0"]),
        (["--actor_steps=0"], ["--actor_steps must be at least 1, not 0"]),
        (["--actor_steps=many"], ["actor_steps", "many"]),
        (["--evaluate_every=0"], ["--evaluate_every"]),
        (["--evaluation_episodes=0"], ["--evaluation_episodes"]),
        (["--num_actors=0"], ["--num_actors"]),
        (["--games_per_actor=0"], ["--games_per_actor"]),
        (["--seed=-1"], ["--seed"]),
        (["--checkpoint_seconds=-1"], ["--checkpoint_seconds"]),
        (["--replay=disk"], ["'disk'", "in_process, reverb"]),
        (["--lp_launch_type=test_mt"], ["lp_launch_type", "test_mt"]),
        (["--lp_launch_type=vertex_ai"], ["--lp_launch_type=vertex_ai", "--distributed"]),
        (["--lp_launch_type=vertex_ai", "--distributed"], ["--output_dir", "/gcs/BUCKET/RUN"]),
        (["--learner_accelerator=K80"], ["learner_accelerator", "'K80'", "T4"]),
        (["--learner_devices=a"], ["--learner_devices", "such as 0,1", "'a'"]),
        (["--learner_devices=1000"], ["--learner_devices=1000 asks for", "JAX shows"]),
        (["--plateau_patience=1"], ["--plateau_patience", "at least 2", "not 1"]),
        (["--plateau_patience=2", "--plateau_min_improvement=-1"], ["--plateau_min_improvement"]),
        (["--plateau_min_improvement=1"], ["--plateau_min_improvement needs", "--plateau_patience"]),
        (["--player=2"], ["no player 2", "0 to 1"]),
        (["--player=-1"], ["no player -1"]),
        (["--environment=dm_control:cartpole:balance", "--player=1"], ["--player", "openspiel:GAME"]),
        (["--opponent=nowhere"], ["no run in nowhere"]),
        (["--opponent=~no_such_user/run"], ["--opponent=~no_such_user/run: there is no such user"]),
        (["--num_actors=4"], ["--num_actors needs --distributed"]),
        (["--games_per_actor=16"], ["--games_per_actor needs --distributed"]),
        (["--noreplay_with_learner"], ["--replay_with_learner needs --distributed"]),
        (["--distributed", "--replay=reverb"], ["--replay needs a run without --distributed"]),
        (["--distributed", "--learner_accelerator=T4"], ["--lp_launch_type=vertex_ai"]),
        (
            ["--environment=gymnasium:Pendulum-v1", "--distributed", "--games_per_actor=2"],
            ["--games_per_actor needs --environment=openspiel:GAME"],
        ),
        (["--checkpoint_seconds=nan"], ["--checkpoint_seconds must be a number"]),
        (["--checkpoint_seconds=inf"], ["--checkpoint_seconds must be finite"]),
        (["--set=learning_rate=NaN"], ["learning_rate must be a number"]),
        (["--actor_steps=1999"], ["learning begins after 2,000 decisions", "--actor_steps=1999"]),
        (["--distributed", "--actor_steps=2000"], ["learning begins after 2,000 decisions"]),
        # In one process, the first step waits for a whole sample.
        (
            ["--set_replay=min_replay_size=10", "--actor_steps=2047"],
            ["first step needs 2,048 samples", "--actor_steps=2047 allows 2,047"],
        ),
        (
            ["--set_replay=batch_size=100000000", "--set_replay=min_replay_size=10", "--actor_steps=100"],
            ["first step needs 400,000,000 samples"],
        ),
        (["--environment=gymnasium:Pendulum-v1", "--actor_steps=1000"], ["learning begins after 5,000"]),
        (["--step=3"], ["'step'"]),
        (["leduc_poker"], ["unexpected argument 'leduc_poker'"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: pathlib.Path,
    launch: Launch,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    named: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = [] if flags[0].startswith("--environment") else [_KUHN]
    _assert_refused(launch(*environment, f"--output_dir={tmp_path / 'run'}", *flags), *named)
    assert list(tmp_path.iterdir()) == []


@needs_acme
def test_opponents_that_are_runs_of_one_agent_are_refused(begun: pathlib.Path, launch: Launch) -> None:
    ended = launch(_KUHN, f"--opponent={begun}", f"--output_dir={begun.with_name('other')}")
    _assert_refused(ended, str(begun), "is a run of run_agent: name a run of run_psro")


@needs_acme
def test_a_run_that_an_older_version_began_too_short_is_resumed_with_a_warning(
    tmp_path: pathlib.Path, launch: Launch
) -> None:
    config = AgentRunConfig("crossq", "openspiel:kuhn_poker", 4, evaluation_episodes=2)
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    flags = (_KUHN, "--actor_steps=6", "--evaluation_episodes=2", f"--output_dir={tmp_path}")
    ended = launch(*flags, "--resume")
    assert ended.code == 0
    assert re.fullmatch(r"warning: learning begins after 2,000 decisions, .*\n", ended.err)


@pytest.mark.slow
@needs_acme
def test_a_run_with_reverb_prints_only_its_own_lines(tmp_path: pathlib.Path) -> None:
    flags = ("--replay=reverb", "--actor_steps=60", "--evaluation_episodes=2", f"--output_dir={tmp_path}")
    out, err = (process := _process(*_SMALL, *flags, JAX_ENABLE_X64="1")).communicate(timeout=300)
    assert (process.returncode, err, len(out.splitlines())) == (0, "", 4)


@needs_acme
def test_a_curve_that_cannot_be_drawn_is_a_warning(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise ValueError("no such backend")

    monkeypatch.setattr("acme_psro.agent_runs.curve.write_curve", fail)
    ended = launch(*_SMALL, "--actor_steps=40", "--evaluation_episodes=2", f"--output_dir={tmp_path}")
    assert ended.code == 0
    assert (
        ended.err == "warning: the run is done, but its curve cannot be drawn: ValueError: no such backend\n"
    )


@needs_acme
def test_actions_without_bounds_are_refused(tmp_path: pathlib.Path, launch: Launch) -> None:
    import gymnasium
    import numpy as np

    class Unbounded(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
        action_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))

    gymnasium.register("Unbounded-v0", Unbounded)
    try:
        ended = launch("--environment=gymnasium:Unbounded-v0", f"--output_dir={tmp_path / 'run'}")
    finally:
        del gymnasium.registry["Unbounded-v0"]
    _assert_refused(ended, "gymnasium:Unbounded-v0", "only Discrete and a bounded flat Box")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def begun(tmp_path: pathlib.Path) -> pathlib.Path:
    """Directory of a run that was killed after its first checkpoint."""
    directory = tmp_path / "run"
    (directory / "checkpoints" / "50").mkdir(parents=True)
    config = AgentRunConfig("crossq", "openspiel:kuhn_poker", 50_000)
    (directory / "config.json").write_text(json.dumps(config.to_json()))
    return directory


@pytest.mark.parametrize("resume", [(), ("--resume",)])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("--environment=openspiel:leduc_poker", "environment is openspiel:kuhn_poker"),
        ("--seed=1", "seed is 0, not 1"),
        ("--set=learning_rate=0.1", "agent_settings.learning_rate is None, not 0.1"),
    ],
)
def test_a_directory_that_holds_another_run_is_left_alone(
    begun: pathlib.Path, launch: Launch, resume: tuple[str, ...], change: str, named: str
) -> None:
    before = contents(begun)
    ended = launch(_KUHN, f"--output_dir={begun}", change, *resume)
    _assert_refused(ended, "another configuration", named, "--output_dir")
    assert contents(begun) == before


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_run_of_psro_is_left_alone(tmp_path: pathlib.Path, launch: Launch, resume: tuple[str, ...]) -> None:
    config = {"game": "kuhn_poker", "oracle": "exact", "agent": "crossq", "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    before = contents(tmp_path)
    ended = launch(_KUHN, f"--output_dir={tmp_path}", *resume)
    _assert_refused(ended, "another configuration", "--output_dir")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_directory_in_which_another_process_is_at_work(
    begun: pathlib.Path, launch: Launch, resume: tuple[str, ...]
) -> None:
    directory = begun if resume else begun.with_name("another")
    with locked(directory):
        ended = launch(_KUHN, f"--output_dir={directory}", *resume)
    _assert_refused(ended, "another process is at work", str(directory), "--output_dir")


def test_resume_where_there_is_nothing(tmp_path: pathlib.Path, launch: Launch) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        ended = launch(_KUHN, f"--output_dir={directory}", "--resume")
        _assert_refused(ended, "no run to resume", str(directory))
    assert list(tmp_path.iterdir()) == []


def test_an_output_directory_that_is_a_file(tmp_path: pathlib.Path, launch: Launch) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    _assert_refused(launch(_KUHN, f"--output_dir={file}"), "is a file")
    assert (list(tmp_path.iterdir()), file.read_text()) == ([file], "mine")


def test_without_the_acme_layer_that_is_said_in_one_line(
    tmp_path: pathlib.Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def find_without_acme(name: str, package: str | None = None) -> Any:
        return None if name in ("acme", "launchpad", "reverb") else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_without_acme)
    with pytest.raises(ValueError, match=r"^run_agent needs acme, launchpad, reverb, which Python 3"):
        installed.check_acme_layer()
    _assert_refused(launch(_KUHN, f"--output_dir={tmp_path / 'run'}"), "Python 3.10 on Linux")
    assert list(tmp_path.iterdir()) == []


@needs_acme
def test_a_real_process_refuses_with_exit_code_2_and_no_traceback(tmp_path: pathlib.Path) -> None:
    process = _process("--environment=openspiel:kuhn_pokr", f"--output_dir={tmp_path / 'run'}")
    out, err = process.communicate(timeout=120)
    _assert_refused(Ended(process.returncode, out, err), "kuhn_pokr", "kuhn_poker")
    assert list(tmp_path.iterdir()) == []
