"""Tests of acme_psro.self_play_runs.work."""

import pathlib

from acme_psro.self_play_runs.work import describe_work, steps_done

_NETWORK = {"algorithm": "mmd", "rollout": {"num_games": 8, "decisions": 4}}
_TABLE = {"algorithm": "tabular_mmd", "rollout": {}}


def test_work_is_measured_in_decisions_or_in_updates() -> None:
    row = {"env_steps": 1000.0, "gradient_steps": 20.0}
    assert describe_work(_NETWORK, row) == "1,000 steps"
    assert describe_work(_TABLE, row) == "20 updates"


def test_checkpoints_tell_of_steps_between_two_evaluations(tmp_path: pathlib.Path) -> None:
    assert steps_done(_NETWORK, tmp_path, []) == 0
    (tmp_path / "checkpoints").mkdir()
    for name in ("state_0000000003.npz", "state_0000000005.npz", ".state_0000000009.npz.ab.tmp"):
        (tmp_path / "checkpoints" / name).touch()
    rows = [{"env_steps": 64.0, "gradient_steps": 4.0}]
    assert steps_done(_NETWORK, tmp_path, rows) == 5 * 32
    assert steps_done(_TABLE, tmp_path, rows) == 5
    assert steps_done(_NETWORK, tmp_path, [{"env_steps": 320.0, "gradient_steps": 4.0}]) == 320
