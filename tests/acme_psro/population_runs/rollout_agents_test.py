"""Runs whose responses PPO learns on policy: trees and graphs, counts, resuming, loading, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import run_psro
from acme_psro.games.loading import load_game
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.population_runs.fakes import untimed
from tests.acme_psro.population_runs.left_behind import copy_of_killed

# Two updates of 16 gradient steps, one a snapshot, on 64 games of 8 decisions.
_DEVICE = {"gradient_steps": 32, "num_envs": 64, "batch_size": 128, "snapshots": 2, "max_extensions": 0}
_AGENT = {"hidden_sizes": [16], "learning_rate": 0.01}
_KUHN: dict[str, Any] = {
    "game": "kuhn_poker",
    "agent": "ppo",
    "device": _DEVICE,
    "agent_settings": _AGENT,
    "show_progress": False,
}
# Kuhn poker's tree has 58 nodes, its graph 29.
_GRAPH = {**_KUHN, "max_nodes": 40}
pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("given", [_KUHN, _GRAPH], ids=["tree", "graph"])
def test_a_run_is_evaluated_counted_and_loaded(given: dict[str, Any], tmp_path: Path) -> None:
    result = acme_psro.run(**given, iterations=2, output_dir=tmp_path / "run")
    before, *_, last = result.metrics
    expected = exploitability.nash_conv(load_game("kuhn_poker"), result.policy())
    assert last["nash_conv"] == pytest.approx(expected, abs=1e-9)
    assert last["nash_conv"] < before["nash_conv"]
    first = result.metrics[1]
    assert first["gradient_steps"] == 2 * 32
    # Half of all decisions, or a little more in the second seat, are those of the learning players.
    assert 0.4 < first["env_steps"] / (2 * 2 * 64 * 8) < 0.6
    assert first["episodes"] > 0.7 * first["env_steps"] / 2


@pytest.mark.long
def test_an_interrupted_run_and_seeds_side_by_side_give_the_figures_of_one_run(tmp_path: Path) -> None:
    alone = acme_psro.run(**_KUHN, iterations=2, seed=1, output_dir=tmp_path / "alone")
    killed = copy_of_killed(alone.run_dir, tmp_path / "run")
    resumed = acme_psro.run(**_KUHN, iterations=2, seed=1, output_dir=killed, resume=True)
    assert repr(untimed(resumed.run_dir)) == repr(untimed(alone.run_dir))
    flags = [f"--set=device.{name}={value}" for name, value in _DEVICE.items()]
    flags += [f"--set=agent_settings.{name}={value}" for name, value in _AGENT.items()]
    flags += ["--game=kuhn_poker", "--agent=ppo", "--iterations=2", "--num_seeds=2"]
    assert exit_code(run_psro.main, *flags, f"--output_dir={tmp_path / 'seeds'}") == 0
    assert repr(untimed(tmp_path / "seeds" / "seed_1")) == repr(untimed(alone.run_dir))
    payoffs = acme_psro.load_run(tmp_path / "seeds" / "seed_1").payoffs
    np.testing.assert_array_equal(payoffs, alone.payoffs)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--oracle=launchpad",), "--agent=ppo learns from rollouts on the device"),
        (("--warm_start=population",), "use --agent=conditional_mpo, not ppo"),
        (("--loop=neupl",), "use --agent=conditional_mpo or vmpo, not ppo"),
        (("--preset=fast",), "--agent=ppo learns from its newest games alone"),
        (("--set=device.updates_per_round=2",), "device.updates_per_round has no effect"),
        (("--buffer_size=5000",), "device.buffer_size has no effect"),
        (("--num_envs=100",), "device.num_envs must divide the 2,048 decisions"),
        (("--set=agent_settings.horizon=9",), "horizon follows from device.gradient_steps"),
        (("--set=agent_settings.clip=0",), "self-play's clip must be above 0, not 0.0"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"--output_dir={tmp_path / 'run'}"
    assert exit_code(run_psro.main, "--game=kuhn_poker", "--agent=ppo", *flags, output) == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
