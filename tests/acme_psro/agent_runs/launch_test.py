"""Tests of runs as Launchpad programs, real ones: how they end, and that nothing is left of them.

Nodes take seconds to start, so that most of these are slow.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psutil
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import jax
import numpy as np

from acme_psro.agent_runs import launch, program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.program import layout
from acme_psro.games.compile import compile_game
from acme_psro.system import tables

pytestmark = pytest.mark.usefixtures("quick_module")

MakeConfig = Callable[..., AgentRunConfig]
CheckpointOf = Callable[[pathlib.Path, AgentRunConfig], Any]
ROOT = pathlib.Path(__file__).resolve().parents[3]


class Launched:
    """Process of a launcher, its directory, and all processes that it started."""

    def __init__(
        self, config: AgentRunConfig, place: pathlib.Path, compiled: pathlib.Path, *flags: str
    ) -> None:
        self.directory, self.scratch = place / "run", place / "temporary"
        self.scratch.mkdir(exist_ok=True)
        self._environment = os.environ | {
            "TMPDIR": str(self.scratch),
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        command = [sys.executable, "-m", "experiments.run_agent", *_flags(config), *flags]
        self.process = subprocess.Popen(
            [*command, f"--output_dir={self.directory}"],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, seconds: float = 240.0) -> tuple[int, str, str]:
        """Waits for the end; returns the exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def others(self) -> list[psutil.Process]:
        """Returns the processes that it started, even if their parent is now another process."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def nodes(self, name: str) -> list[psutil.Process]:
        """Returns the Python processes of a group of nodes."""
        found = []
        for process in self.others():
            parent = process.parent()
            is_node = any("process_entry" in word for word in process.cmdline()[:2])
            if is_node and parent is not None and any(word.startswith(name) for word in parent.cmdline()):
                found.append(process)
        return found

    def child(self) -> psutil.Process:
        """Returns the process in which Launchpad launches the nodes."""
        (found,) = [each for each in self.others() if "acme_psro.agent_runs.program.child" in each.cmdline()]
        return found

    def wait_until(self, condition: Callable[[], Any], seconds: float = 180.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def learns(self) -> bool:
        """Returns True if the learner has written a row."""
        return bool(tables.read(self.directory / "learner.csv"))

    def assert_gone(self, seconds: float = 0.0) -> None:
        deadline = time.monotonic() + seconds
        while self.others() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.others() == []

    def kill(self) -> None:
        for process in [*self.others(), self.process]:
            process.kill()

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.pid == self.process.pid:
            return False
        try:
            # Its nodes have a temporary directory below its own, and the child its output directory.
            about = [*process.cmdline(), process.environ().get("TMPDIR", "")]
            return process.status() != psutil.STATUS_ZOMBIE and any(
                str(place) in word for word in about for place in (self.directory, self.scratch)
            )
        except psutil.Error:
            return False


def _flags(config: AgentRunConfig) -> Iterator[str]:
    yield from ("--distributed", f"--agent={config.agent}", f"--environment={config.environment}")
    names = ("actor_steps", "evaluate_every", "evaluation_episodes", "num_actors", "lp_launch_type")
    # The smallest improvement has no effect without patience, and is refused then.
    plateau = ("plateau_patience", "plateau_min_improvement") if config.plateau_patience else ()
    for name in (*names, *plateau):
        yield f"--{name}={getattr(config, name)}"
    for flag, settings in (("set", config.agent_settings), ("set_replay", config.replay_settings)):
        yield from (f"--{flag}={name}={json.dumps(value)}" for name, value in settings.items())


Start = Callable[..., Launched]


@pytest.fixture
def start(tmp_path: pathlib.Path, compiled: pathlib.Path) -> Iterator[Start]:
    """`(config, *flags) -> Launched`. Its processes are ended with the test."""
    launched: list[Launched] = []

    def begin(config: AgentRunConfig, *flags: str) -> Launched:
        launched.append(Launched(config, tmp_path, compiled, *flags))
        return launched[-1]

    yield begin
    for each in launched:
        each.kill()


@pytest.fixture
def kuhn(small: MakeConfig) -> AgentRunConfig:
    return small(
        actor_steps=600, evaluate_every=150, distributed=True, replay_settings={"samples_per_insert": 4.0}
    )


class Files(NamedTuple):
    """Returns a directory's files, by name."""

    rows: list[tables.Row]
    names: set[str]


def files_of(launched: Launched) -> Files:
    rows = tables.read(launched.directory / "evaluation.csv")
    return Files(rows, {path.name for path in launched.directory.iterdir()})


def assert_ended_well(launched: Launched, config: AgentRunConfig) -> str:
    """Asserts exit code 0 and exactly the files of a finished run; returns the standard output."""
    code, out, err = launched.end()
    assert (code, err) == (0, ""), err
    assert out.splitlines()[-1] == f"curve: {launched.directory / 'evaluation.png'}"
    launched.assert_gone()
    assert list(launched.scratch.iterdir()) == []
    rows, names = files_of(launched)
    assert {
        "config.json",
        "learner.csv",
        "actor.csv",
        "starts.csv",
        "evaluation.png",
        "finished.json",
        "program.log",
    } <= names
    assert not {"failure.json", "ending.json"} & names
    assert ("policy.npz" in names) == (config.kind == "openspiel")
    assert (launched.directory / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    finished = json.loads((launched.directory / "finished.json").read_text())
    assert rows[-1]["actor_steps"] == finished["actor_steps"] >= config.actor_steps
    assert rows[-1]["gradient_steps"] == finished["learner_gradient_steps"] > 0
    assert finished["why"] == "budget"
    assert_sane(rows, config)
    return out


def assert_sane(rows: list[tables.Row], config: AgentRunConfig) -> None:
    """Asserts at most one row for each period and a last row, with no decreasing counts."""
    steps, period = [row["actor_steps"] for row in rows], config.evaluate_every
    assert steps == sorted(set(steps))
    assert all(earlier // period < later // period for earlier, later in itertools.pairwise(steps[:-1]))
    assert steps[0] >= min(period, config.actor_steps)
    assert [row["gradient_steps"] for row in rows] == sorted(row["gradient_steps"] for row in rows)


def assert_good_checkpoint(
    launched: Launched, config: AgentRunConfig, checkpoint_of: CheckpointOf
) -> dict[str, float]:
    """Asserts a checkpoint with finite numbers that has learned something; returns its counts."""
    saved = checkpoint_of(launched.directory, config)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved.state))
    assert saved.state.step > 0
    return saved.counts


def assert_failed(launched: Launched, *named: str) -> str:
    """Asserts exit code 1, one line of error, and no processes or files left."""
    code, _, err = launched.end()
    assert (code, err.count("\n")) == (1, 1), err
    assert err.startswith("error: ")
    assert [name for name in (*named, str(launched.directory / "program.log")) if name not in err] == []
    launched.assert_gone()
    assert list(launched.scratch.iterdir()) == []
    return err


def test_a_program_ends_by_itself_and_leaves_nothing_behind(
    start: Start, kuhn: AgentRunConfig, own_value: Callable[..., float]
) -> None:
    launched = start(kuhn)
    assert_ended_well(launched, kuhn)
    last = files_of(launched).rows[-1]
    uniform = compile_game("kuhn_poker", cache=False).uniform_policy()
    assert last["exact_value"] == pytest.approx(own_value(launched.directory, kuhn, uniform), abs=1e-6)
    assert last["best_response_value"] == pytest.approx(0.5)
    # A finished run is not started again.
    before = {path: path.read_bytes() for path in launched.directory.rglob("*") if path.is_file()}
    code, _, err = start(kuhn, "--resume").end()
    assert (code, err) == (0, "")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_what_a_program_cannot_be_built_from_is_refused_before_anything_is_written(
    start: Start, kuhn: AgentRunConfig
) -> None:
    launched = start(dataclasses.replace(kuhn, environment="openspiel:kuhn_pokr"))
    code, out, err = launched.end()
    assert (code, out) == (2, "")
    assert err == "error: unknown game 'kuhn_pokr': did you mean kuhn_poker, leduc_poker, universal_poker?\n"
    assert not launched.directory.exists()
    assert list(launched.scratch.iterdir()) == []


def test_a_learner_sees_the_devices_that_are_asked_for(
    kuhn: AgentRunConfig, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that run in parallel on the same devices each get a part of the memory."""
    for name in ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.delenv(name, raising=False)
    usual = program_jobs.make_job(kuhn, tmp_path).environment
    assert not {"CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION"} & set(usual)
    placed = dataclasses.replace(kuhn, learner_devices="1")
    shared = program_jobs.make_job(placed, tmp_path, sharing_devices=3).environment
    assert shared == {**usual, "CUDA_VISIBLE_DEVICES": "1", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.250"}


def test_a_run_in_one_process_sees_them_too(
    small: MakeConfig, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme_psro.agent_runs import local

    seen: list[str | None] = []
    monkeypatch.setattr(os, "environ", os.environ | {"CUDA_VISIBLE_DEVICES": "4,5"})
    monkeypatch.setattr(local, "train", lambda *_: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    monkeypatch.setattr(launch, "_draw", lambda *_: None)
    assert launch.run(small(learner_devices="1"), tmp_path, time.monotonic()) == 0
    assert seen == ["5"]


# Runs the child with other nodes: one for each group, which only records its environment.
_CHILD = """
import functools
import json
import os
import pathlib
import sys

from acme_psro.agent_runs.program import child
import launchpad as lp

launch, place = lp.launch, pathlib.Path(sys.argv[3])


def say(label, place):
    (place / f"{label}.json").write_text(json.dumps(dict(os.environ)))
    lp.wait_for_stop()


def launch_others(made, launch_type, local_resources, terminal):
    (place / "resources.json").write_text(json.dumps({k: dict(v.env) for k, v in local_resources.items()}))
    others = lp.Program("others")
    for label in made.groups:
        with others.group(label):
            others.add_node(lp.PyNode(functools.partial(say, label, place)))
    return launch(others, launch_type=launch_type, local_resources=local_resources, terminal=terminal)


lp.launch = launch_others
child.main(sys.argv[1], pathlib.Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_only_the_learners_process_sees_accelerators(
    kuhn: AgentRunConfig, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,7")
    config = dataclasses.replace(kuhn, learner_devices="1", replay_with_learner=False)
    job = program_jobs.make_job(config, tmp_path / "run", sharing_devices=2)
    (tmp_path / "child.py").write_text(_CHILD)
    command = [sys.executable, str(tmp_path / "child.py"), *job.command[3:], str(tmp_path)]
    labels = {"actor", "counter", "evaluator", "learner", "replay"}
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | job.environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not all((tmp_path / f"{label}.json").exists() for label in labels):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(0.2)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    resources = json.loads((tmp_path / "resources.json").read_text())
    assert resources == dict.fromkeys(labels - {"learner"}, layout.ON_CPU)
    seen = {label: json.loads((tmp_path / f"{label}.json").read_text()) for label in labels}
    for label in labels - {"learner"}:
        assert {name: seen[label][name] for name in layout.ON_CPU} == layout.ON_CPU
    assert seen["learner"]["CUDA_VISIBLE_DEVICES"] == "7"
    assert seen["learner"]["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.375"
    assert "OMP_NUM_THREADS" in os.environ or "OMP_NUM_THREADS" not in seen["learner"]


@pytest.mark.slow
def test_a_program_ends_at_a_plateau_and_goes_on_with_more_patience(
    start: Start, kuhn: AgentRunConfig
) -> None:
    """The required improvement is out of reach, so the run ends once there are enough evaluations."""
    config = dataclasses.replace(
        kuhn, actor_steps=10_000_000, plateau_patience=2, plateau_min_improvement=9.0
    )
    launched = start(config)
    code, out, err = launched.end()
    assert (code, err) == (0, "")
    launched.assert_gone()
    finished = json.loads((launched.directory / "finished.json").read_text())
    assert (finished["why"], finished["plateau"]) == ("plateau", {"patience": 2, "min_improvement": 9.0})
    rows, names = files_of(launched)
    assert rows[-1]["actor_steps"] == finished["actor_steps"] < 10_000_000
    assert len(rows) >= 5 and {"policy.npz", "evaluation.png"} <= names
    assert_sane(rows, config)
    said = f"ended at a plateau after {finished['actor_steps']:,.0f} steps"
    assert out.splitlines()[-2] == said
    # A run that has ended does not continue until more steps are requested.
    code, out, err = start(config, "--resume").end()
    assert (code, out.splitlines()[0], err) == (0, said, "")
    assert files_of(launched).rows == rows
    further = dataclasses.replace(config, plateau_patience=3, plateau_min_improvement=9.0)
    assert start(further, "--resume").end()[0] == 0
    assert len(files_of(launched).rows) > len(rows)


@pytest.mark.slow
def test_a_program_of_threads_ends_by_itself_too(start: Start, kuhn: AgentRunConfig) -> None:
    config = dataclasses.replace(kuhn, lp_launch_type="local_mt")
    assert_ended_well(start(config), config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "agent_settings", "replay_settings"),
    [
        ("conditional_mpo", {"retrace": True}, {"sequence_length": 4}),
        ("vmpo", {}, {"n_step": 2, "samples_per_insert": 1.0, "min_replay_size": 16}),
    ],
)
def test_programs_of_other_agents_end_by_themselves_too(
    agent: str, agent_settings: dict, replay_settings: dict, start: Start, small: MakeConfig
) -> None:
    config = small(
        agent=agent,
        actor_steps=600,
        evaluate_every=150,
        distributed=True,
        agent_settings=agent_settings,
        replay_settings={"samples_per_insert": 4.0} | replay_settings,
    )
    assert_ended_well(start(config), config)


@pytest.mark.slow
def test_a_program_learns_with_bounded_continuous_actions(start: Start, small: MakeConfig) -> None:
    config = small(
        environment="dm_control:cartpole:balance",
        actor_steps=2000,
        evaluate_every=1000,
        evaluation_episodes=1,
        num_actors=2,
        replay_settings={"samples_per_insert": 1.0},
    )
    launched = start(config)
    assert_ended_well(launched, config)
    rows, names = files_of(launched)
    assert "actor_1.csv" in names
    assert "exact_value" not in rows[-1]
    assert rows[-1]["episode_length"] == 1000


@pytest.mark.slow
@pytest.mark.parametrize("launch_type", ["local_mp", "local_mt"])
def test_an_environment_that_breaks_ends_the_program_with_its_message(
    launch_type: str, start: Start, kuhn: AgentRunConfig, broken_package: str, checkpoint_of: CheckpointOf
) -> None:
    settings = kuhn.agent_settings | {"learn_temperature": False}
    config = dataclasses.replace(
        kuhn, environment=broken_package, agent_settings=settings, lp_launch_type=launch_type
    )
    launched = start(config)
    message = f"{broken_package}: reward is NaN or infinite at step 5 of episode 38. (NonFiniteError; see "
    assert_failed(launched, message)
    assert_good_checkpoint(launched, config, checkpoint_of)


@pytest.mark.slow
def test_learning_that_diverges_ends_the_program_with_its_message(
    start: Start, kuhn: AgentRunConfig, checkpoint_of: CheckpointOf
) -> None:
    settings = kuhn.agent_settings | {"learning_rate": 1e30, "final_learning_rate": 1e30}
    config = dataclasses.replace(kuhn, agent_settings=settings)
    launched = start(config)
    assert_failed(launched, "error: learner step ", " diverged: ", "(DivergedError; see ")
    saved = checkpoint_of(launched.directory, config)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved.state))


@pytest.mark.slow
def test_a_program_that_loses_an_actor_is_launched_again_and_says_so(
    start: Start, kuhn: AgentRunConfig
) -> None:
    config = dataclasses.replace(kuhn, actor_steps=40_000, evaluate_every=10_000, num_actors=2)
    launched = start(config)
    launched.wait_until(launched.learns)
    launched.nodes("actor/1")[0].kill()
    out = assert_ended_well(launched, config)
    assert f"see {launched.directory / 'program.log'}); launching it again in 1 s (1 of 3)" in out
    assert len(tables.read(launched.directory / "starts.csv")) == 2


@pytest.mark.slow
def test_ctrl_c_ends_the_program_and_it_goes_on(
    start: Start, kuhn: AgentRunConfig, checkpoint_of: CheckpointOf
) -> None:
    config = dataclasses.replace(kuhn, actor_steps=10_000_000)
    launched = start(config)
    launched.wait_until(lambda: launched.learns() and files_of(launched).rows)
    launched.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, out, err = launched.end(60)
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == "stopped; --resume continues from the last checkpoint"
    assert time.monotonic() - began < 25
    launched.assert_gone()
    assert list(launched.scratch.iterdir()) == []
    saved = assert_good_checkpoint(launched, config, checkpoint_of)
    # The learner may have made another step after the counts of the checkpoint were read, but not one less.
    learned = tables.read(launched.directory / "learner.csv")
    assert learned[-1]["learner_gradient_steps"] >= saved["learner_gradient_steps"]
    assert (launched.directory / "evaluation.png").exists()
    before = [row for row in files_of(launched).rows if row["actor_steps"] <= saved["actor_steps"]]
    further = dataclasses.replace(config, actor_steps=int(saved["actor_steps"]) + 500)
    resumed = start(further, "--resume")
    assert_ended_well(resumed, further)
    assert files_of(resumed).rows[: len(before)] == before
    again = assert_good_checkpoint(resumed, further, checkpoint_of)
    assert again["learner_gradient_steps"] > saved["learner_gradient_steps"]
    assert again["training_seconds"] > saved["training_seconds"]


@pytest.mark.slow
@pytest.mark.parametrize("also_the_child", [False, True])
def test_nothing_outlives_a_launcher_that_is_killed(
    also_the_child: bool, start: Start, kuhn: AgentRunConfig
) -> None:
    launched = start(dataclasses.replace(kuhn, actor_steps=10_000_000))
    launched.wait_until(lambda: len(launched.nodes("actor")) == 1 and launched.learns())
    assert len(launched.others()) > 6
    # Stopped first, so that it can do nothing about the end of its child.
    launched.process.send_signal(signal.SIGSTOP)
    if also_the_child:
        launched.child().kill()
    launched.process.kill()
    launched.assert_gone(seconds=10)
    assert list(launched.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            'RESOURCE_EXHAUSTED: Error writing "0/0" at local file "/run/checkpoints/60/d/": Failed writing: '
            '"/run/x.__lock": Failed to write 350butes [OS error 28: ENOSPC No space left on device] [source',
            (28, "No space left on device", "/run/checkpoints/60/d/"),
        ),
        ("the program left no checkpoint", None),
    ],
)
def test_a_full_disk_is_told_from_other_errors(message: str, expected: tuple[int, str, str] | None) -> None:
    error = launch.find_system_error(ValueError(message))
    assert (error and (error.errno, error.strerror, error.filename)) == expected
