"""Tests of the flags that choose the machines of a run."""

from __future__ import annotations

import pathlib

import pytest

from acme_psro.commands import run_psro
from tests.acme_psro.commands.launching import Launch, make_launch


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_psro.main, capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--executor=slurm",), "--executor must be local or ray, not 'slurm'."),
        (("--executor=ray", "--ray_address=head"), "--ray_address must be auto or HOST:PORT, such as"),
        (("--executor=ray", "--cpus_per_response=0"), "--cpus_per_response must be above 0, not 0.0."),
        *(
            ((flag,), f"{flag.partition('=')[0]} needs --executor=ray, and has no effect otherwise")
            for flag in (
                "--ray_address=head:1",
                "--cpus_per_response=2",
                "--gpus_per_response=1",
                "--shared_directory",
            )
        ),
        (("--executor=ray", "--oracle=exact"), "--executor=ray needs --oracle=device or --oracle=launchpad"),
        (
            ("--executor=ray", "--ray_address=127.0.0.1:1"),
            "no Ray cluster answers at --ray_address=127.0.0.1:1:",
        ),
        (
            ("--executor=ray", "--oracle=launchpad", "--learner_devices=0"),
            "--learner_devices counts devices of this machine: with --executor=ray, give --gpus_per_response",
        ),
    ],
)
def test_bad_choices_end_in_one_line_before_anything_is_written(
    launch: Launch, tmp_path: pathlib.Path, flags: tuple[str, ...], message: str
) -> None:
    pytest.importorskip("ray")
    ended = launch("--game=kuhn_poker", *flags, f"--output_dir={tmp_path / 'run'}")
    assert ended.code == 2
    assert ended.err.startswith(f"error: {message}")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
