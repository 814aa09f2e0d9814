"""Tests of runs whose program loses a process: it is launched again and goes on, and no process is left.

The program is a real one, in a game that does not compile, and is launched several times, so this is slow.
"""

import pathlib
import signal
import sys
import time
from typing import Any

import psutil
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import acme_psro
from acme_psro import StopRun
from acme_psro.population_runs.callbacks import Callback
from acme_psro.population_runs.events import IterationEnded
from acme_psro.system import tables
from tests.acme_psro.agent_runs.processes import Processes

pytestmark = pytest.mark.slow


class Killing(Callback):
    """Kills a process of the program after each of some iterations, and stops the run after another one."""

    def __init__(self, directory: pathlib.Path, victims: dict[int, str], stop: int) -> None:
        self.processes = Processes("acme_psro.agent_runs.neupl_program", directory / "program")
        self._starts = directory / "program" / "starts.csv"
        self._victims, self._stop = victims, stop
        self._killed = 0

    def on_iteration(self, event: IterationEnded) -> None:
        if event.iteration in self._victims:
            self._find(self._victims[event.iteration]).send_signal(signal.SIGKILL)
            self._killed += 1
        self.processes.find("child")
        if event.iteration == self._stop:
            raise StopRun

    def _find(self, victim: str) -> psutil.Process:
        """Returns the victim's process, once the program that was launched last has learned something."""
        # The run may be some epochs behind the program, so that it goes on while the program ends.
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            found = self.processes.find(victim)
            if found and len(tables.read(self._starts)) > self._killed:
                return found[0]
            time.sleep(0.2)
        raise AssertionError(f"there is no {victim}")


def test_a_game_that_does_not_compile_is_learned_whatever_is_killed(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments: dict[str, Any] = {
        "game": "phantom_ttt",
        "loop": "neupl",
        "oracle": "launchpad",
        # More epochs than there is time for: a program that has ended cannot be killed.
        "iterations": 1000,
        "neupl": {"population_size": 4},
        "agent_settings": {"critic_hidden_sizes": [16], "policy_hidden_sizes": [16]},
        "launchpad": {
            "epoch_steps": 400,
            "checkpoint_seconds": 1.0,
            "replay_settings": {"batch_size": 32, "min_replay_size": 100, "samples_per_insert": 4.0},
            "min_outcomes": 100,
            "evaluation_games": 32,
        },
        "output_dir": tmp_path,
        "show_progress": False,
    }
    first = Killing(tmp_path, {1: "graph/0", 2: "learner/0", 3: "actor/0"}, stop=4)
    acme_psro.run(**arguments, callbacks=[first])
    assert first.processes.have_ended()
    errors = capfd.readouterr().err
    assert "payoffs are estimated by the program" in errors
    assert errors.count("launching it again") == 3 and "Killing.on_iteration failed" not in errors
    # The first of these epochs may have been made before the run was stopped.
    second = Killing(tmp_path, {}, stop=7)
    result = acme_psro.run(**arguments, callbacks=[second], resume=True)
    assert second.processes.have_ended()
    assert [row["iteration"] for row in result.metrics] == list(range(8))
    steps = [row["gradient_steps"] for row in result.metrics]
    assert steps == sorted(steps) and steps[-1] >= 7 * 400
    games = [row["payoff_episodes"] for row in result.metrics]
    assert games == sorted(games) and games[-1] > games[1] > 100
    starts = [row["actor_steps"] for row in tables.read(tmp_path / "program" / "starts.csv")]
    assert len(starts) == 5 and starts[0] == 0 < min(starts[1:])
    policy = acme_psro.load_policy(tmp_path)
    state = policy.game.new_initial_state()
    probabilities = policy.action_probabilities(state)
    assert sum(probabilities.values()) == pytest.approx(1.0)
    assert list(probabilities) == state.legal_actions()
