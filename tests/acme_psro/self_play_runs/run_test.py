"""Tests of acme_psro.self_play_runs.run."""

import io
import pathlib

import pytest

from acme_psro.agent_runs.progress import Progress
from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.self_play_runs.run import SelfPlayRun
from acme_psro.system.tables import read_csv

_CONFIG = SelfPlayRunConfig("kuhn_poker", "tabular_mmd", steps=40, evaluate_every=20)


class _Interrupted(Progress):
    """Display during which Ctrl-C is pressed, once a number of steps is made."""

    def __init__(self, steps: int) -> None:
        super().__init__(_CONFIG.steps, io.StringIO())
        self._last = steps

    def advance(self, actor_steps: int, episode_return: float) -> None:
        super().advance(actor_steps, episode_return)
        if actor_steps >= self._last:
            raise KeyboardInterrupt


def _untimed(directory: pathlib.Path) -> str:
    rows = read_csv(directory / "metrics.csv")
    return repr([{name: value for name, value in row.items() if "seconds" not in name} for row in rows])


def test_an_interrupt_saves_what_was_learned(tmp_path: pathlib.Path) -> None:
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        SelfPlayRun(_CONFIG, stopped, print).carry_out(None, _Interrupted(30))
    run = SelfPlayRun(_CONFIG, stopped, print)
    restored = run.restore(print)
    assert restored is not None and restored.updates == 30
    run.carry_out(restored, Progress(_CONFIG.steps, io.StringIO()))
    SelfPlayRun(_CONFIG, whole, print).carry_out(None, Progress(_CONFIG.steps, io.StringIO()))
    assert _untimed(stopped) == _untimed(whole)
    for name in ("policies/player_0.npz", "policies/player_1.npz"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
