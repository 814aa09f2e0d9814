"""Tests of `--import_module`, `--config` and `--set`, as the users of all commands meet them."""

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from absl import flags
from absl.testing import flagsaver

from acme_psro.commands import psro_config, run_psro
from acme_psro.population_runs.defaults import PRESETS
from acme_psro.storage.run_config import read_config
from acme_psro.system import surroundings
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import ROOT, Ended, Launch, make_launch

pytestmark = pytest.mark.usefixtures("quick_module")

_EXACT = ("--game=kuhn_poker", "--oracle=exact", "--iterations=2")
_SOLVER = """
from acme_psro.solvers import SOLVERS
SOLVERS["mine"] = SOLVERS["uniform"]
"""
# What crashes is found by the trial in another process, which needs the module too.
_CRASHING = """
import os
import pyspiel
import undercut

class State(undercut.UndercutState):
    def _apply_action(self, action):
        os.abort()

class Crashing(undercut.Undercut):
    def new_initial_state(self):
        return State(self)

TYPE = undercut.GAME_TYPE
TYPE = pyspiel.GameType(
    "crashing", "Crashing", TYPE.dynamics, TYPE.chance_mode, TYPE.information, TYPE.utility,
    TYPE.reward_model, 2, 2, True, True, False, False, {},
)
pyspiel.register_game(TYPE, Crashing)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The directory of a user, with the game of the tutorial and a solver."""
    directory = tmp_path_factory.mktemp("user")
    example = (ROOT / "docs" / "examples" / "own_game.py").read_text()
    parts = [re.search(rf"# \[start:{name}\]\n(.*?)# \[end:{name}\]", example, re.DOTALL) for name in _PARTS]
    (directory / "undercut.py").write_text("".join(part[1] for part in parts if part))
    (directory / "my_solvers.py").write_text(_SOLVER)
    (directory / "crashing.py").write_text(_CRASHING)
    return directory


_PARTS = ("imports", "game")


def _run(directory: pathlib.Path, *arguments: str) -> Ended:
    """Runs a command in the directory of a user, which is not on Python's path."""
    program = "import sys; sys.path[:] = filter(None, sys.path); from acme_psro.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_games_and_solvers_of_a_users_own_are_known_by_name(directory: pathlib.Path) -> None:
    modules = ("--import_module=undercut", "--import_module=my_solvers")
    flags = ("--game=undercut", "--meta_solver=mine", "--oracle=exact", "--iterations=2", "--output_dir=own")
    ended = _run(directory, "run", *modules, *flags)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("undercut(): 31 nodes, 2 information states")
    # Without the module nobody knows the game, and the run is not harmed by that.
    lacking = _run(directory, "evaluate", "--run_dir=own")
    assert lacking.code == 2
    assert "unknown game 'undercut'" in lacking.err and "--import_module" in lacking.err
    evaluated = _run(directory, "evaluate", "--run_dir=own", "--import_module=undercut")
    assert json.loads(evaluated.out)["game"] == "undercut()"
    # The command that made the run names its modules.
    (start,) = json.loads((directory / "own" / "config.json").read_text())[surroundings.KEY]
    assert "--import_module=undercut" in start["command"]


def test_games_of_a_users_own_are_tried_in_another_process(directory: pathlib.Path) -> None:
    ended = _run(directory, "run", "--import_module=crashing", "--game=crashing", "--oracle=exact")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: OpenSpiel crashes on crashing (signal 6, SIGABRT)")
    assert ended.err.count("\n") == 1
    assert not (directory / "runs").exists()


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    """Runs `acme-psro run` with these arguments in this process."""
    return make_launch(run_psro.main, capsys)


def _settings(directory: pathlib.Path) -> dict[str, Any]:
    stored = dict(read_config(directory / "config.json"))
    assert len(stored.pop(surroundings.KEY)) == 1
    return stored


def test_a_runs_configuration_makes_the_same_run(tmp_path: pathlib.Path, launch: Launch) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    flags = ("--meta_solver=prd", "--tolerance=0.001", f"--output_dir={first}")
    assert launch(*_EXACT, *flags).code == 0
    ended = launch(f"--config={first / 'config.json'}", f"--output_dir={second}")
    assert (ended.code, ended.err) == (0, "")
    assert _settings(second) == _settings(first)
    before, after = (read_csv(each / "metrics.csv") for each in (first, second))
    assert [row["nash_conv"] for row in after] == [row["nash_conv"] for row in before]
    # Flags win over the file, whose directory is named as well as the file itself.
    assert launch(f"--config={first}", "--iterations=1", "--seed=3", f"--output_dir={third}").code == 0
    assert _settings(third) == _settings(first) | {"iterations": 1, "seed": 3}
    # A run goes on from its own configuration.
    resumed = launch(f"--config={first}", f"--output_dir={first}", "--iterations=3", "--resume")
    assert (resumed.code, resumed.err) == (0, "")


def test_what_a_file_gives_for_other_oracles_is_named(tmp_path: pathlib.Path, launch: Launch) -> None:
    file = tmp_path / "device.json"
    file.write_text(json.dumps({"agent": "crossq", "device": {"snapshots": 5}, "num_envs": 64}))
    directory = tmp_path / "run"
    ended = launch(*_EXACT, f"--config={file}", f"--output_dir={directory}")
    assert ended.code == 0
    assert ended.err == f"warning: {file}: agent, device, num_envs have no effect on this run.\n"
    assert "device" not in _settings(directory)


@pytest.mark.parametrize(
    ("arguments", "device", "agent_settings"),
    [
        ([], {"snapshots": 5, "num_envs": 64}, {"discount": 0.5}),
        (["--num_envs=32"], {"snapshots": 5, "num_envs": 32}, {"discount": 0.5}),
        (["--set=device.snapshots=6"], {"snapshots": 6, "num_envs": 64}, {"discount": 0.5}),
        (["--set=discount=0.75"], {"snapshots": 5, "num_envs": 64}, {"discount": 0.75}),
        # Settings of one agent are none of another, and a budget by name replaces the file's.
        (["--agent=conditional_mpo"], {"snapshots": 5, "num_envs": 64}, {"discount": 1.0}),
        (["--preset=frugal"], PRESETS["frugal"], {"discount": 0.5}),
    ],
)
def test_the_command_line_wins_over_the_file(
    tmp_path: pathlib.Path, arguments: list[str], device: dict[str, Any], agent_settings: dict[str, Any]
) -> None:
    content = {
        "game": "kuhn_poker",
        "oracle": "device",
        "agent": "crossq",
        "device": {"snapshots": 5, "num_envs": 64},
        "agent_settings": {"discount": 0.5},
    }
    file = tmp_path / "values.json"
    file.write_text(json.dumps(content))
    with flagsaver.flagsaver():
        flags.FLAGS(["launcher", f"--config={file}", *arguments])
        config = psro_config.build_config(psro_config.read_given())
    assert config.device | device == config.device
    assert config.agent_settings | agent_settings == config.agent_settings


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set=device.snapshots=3"], "--set=device.snapshots needs --oracle=device"),
        (["--set=discount=1"], "--set=agent_settings.discount needs --oracle=device or --oracle=launchpad"),
        (["--set=simulation.gain_episodes=3"], "needs --oracle=launchpad --payoffs=sampled"),
        (["--oracle=device", "--set=device.snapshot=3"], "did you mean device.snapshots?"),
        (["--oracle=device", "--set=snapshots=3"], "did you mean device.snapshots?"),
        (["--oracle=device", "--set=device.snapshots=many"], "snapshots must be a whole number"),
        (["--oracle=device", "--set=device.snapshots=0"], "snapshots must be at least 1, not 0"),
        (["--oracle=device", "--num_envs=8", "--set=device.num_envs=8"], "are the same setting"),
        (["--set=snapshots"], "--set takes NAME=VALUE"),
        (["--config=/no/such/file.json"], "cannot open /no/such/file.json"),
        (["--config=/dev/null"], "/dev/null is not JSON"),
        (["--import_module=no_such_module"], "no module no_such_module is installed"),
        (["--game=undercut"], "one of your own needs --import_module"),
    ],
)
def test_bad_settings_are_one_line_and_nothing_is_written(
    tmp_path: pathlib.Path, launch: Launch, arguments: list[str], says: str
) -> None:
    ended = launch(*_EXACT, f"--output_dir={tmp_path / 'run'}", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1
    assert says in ended.err
    assert list(tmp_path.iterdir()) == []
