"""Tests of `acme-psro run --num_seeds` and `--devices`, as its users run it."""

import json
import pathlib
import re

import pytest

import acme_psro
from acme_psro.commands import evaluate, run_psro
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Launch, exit_code, make_launch, start
from tests.acme_psro.population_runs.fakes import untimed

pytestmark = pytest.mark.usefixtures("quick_module")

# A budget that learns next to nothing, fast.
_DEVICE = (
    "--game=kuhn_poker",
    "--gradient_steps_per_response=20",
    "--num_envs=32",
    "--batch_size=32",
    "--buffer_size=1000",
    "--set=agent_settings.critic_hidden_sizes=[16]",
    "--set=agent_settings.policy_hidden_sizes=[16]",
)


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    return make_launch(run_psro.main, capsys)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns the directory of two seeds of two iterations."""
    root = tmp_path_factory.mktemp("runs") / "seeds"
    flags = ("--num_seeds=2", "--seed=8", "--iterations=2", "--devices=0", f"--output_dir={root}")
    assert exit_code(run_psro.main, *_DEVICE, *flags) == 0
    return root


@pytest.mark.slow
def test_seeds_go_on_together_and_say_how_they_ended(seeds: pathlib.Path, launch: Launch) -> None:
    flags = ("--num_seeds=2", "--seed=8", "--iterations=3", f"--output_dir={seeds}")
    ended = launch(*_DEVICE, *flags, "--resume")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert "seeds 8, 9; oracle device, agent crossq" in lines[1]
    assert re.match(r"seed 8: Stopped after 3 iterations", lines[-4])
    assert re.match(r"seed 9: Stopped after 3 iterations", lines[-3])
    assert re.match(r"Exploitability 0\.\d+ ± .*: mean of 2 seeds", lines[-2])
    assert lines[-1] == f"report: {seeds / 'report.html'}"
    assert [len(read_csv(seeds / f"seed_{seed}" / "metrics.csv")) for seed in (8, 9)] == [4, 4]


def test_a_seed_is_evaluated_and_loaded_alone(
    seeds: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated = make_launch(evaluate.main, capsys)(f"--run_dir={seeds / 'seed_9'}")
    assert evaluated.code == 0
    run = acme_psro.load_run(seeds / "seed_9")
    assert run.config["seed"] == 9
    assert json.loads(evaluated.out)["nash_conv"] == pytest.approx(run.metrics[-1]["nash_conv"])


def test_all_seeds_are_named_if_their_directory_is_evaluated_or_loaded(
    seeds: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = make_launch(evaluate.main, capsys)(f"--run_dir={seeds}")
    said = f"{seeds} holds runs of several seeds: name one of them, {seeds / 'seed_8'}, seed_9."
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: {said}\n")
    with pytest.raises(ValueError, match="holds runs of several seeds: name one of them"):
        acme_psro.load_run(seeds)


def test_one_run_does_not_begin_beside_seeds_nor_seeds_in_one_run(
    seeds: pathlib.Path, launch: Launch
) -> None:
    one = launch(*_DEVICE, f"--output_dir={seeds}")
    assert one.code == 2 and "holds runs of several seeds" in one.err
    several = launch(*_DEVICE, "--num_seeds=2", f"--output_dir={seeds / 'seed_8'}")
    assert several.code == 2 and "holds a run of one seed" in several.err


@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 300, "is too long: choose another --output_dir"), ("file/seeds", "is a file: choose another")],
)
def test_a_directory_that_cannot_exist_is_one_line(
    name: str, said: str, tmp_path: pathlib.Path, launch: Launch
) -> None:
    (tmp_path / "file").touch()
    for flags in ((), ("--resume",)):
        ended = launch("--game=kuhn_poker", "--num_seeds=2", f"--output_dir={tmp_path / name}", *flags)
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert said in ended.err or "no runs to resume" in ended.err


@pytest.mark.slow
def test_seeds_on_four_devices_are_those_on_one(seeds: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flags = ("--num_seeds=2", "--seed=8", "--iterations=2", f"--output_dir={tmp_path}")
    four = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    process = start("experiments.run_psro", *_DEVICE, *flags, **four)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    for seed in (8, 9):
        rows, expected = (untimed(root / f"seed_{seed}") for root in (tmp_path, seeds))
        assert repr(rows[:3]) == repr(expected[:3])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--num_seeds=0",), "--num_seeds must be at least 1, not 0."),
        (("--num_seeds=-1",), "--num_seeds must be at least 1, not -1."),
        (("--num_seeds=many",), "--num_seeds must be a whole number, not 'many'"),
        (("--num_seeds=2", "--oracle=exact"), "exact responses are the same for every seed."),
        (("--num_seeds=2", "--oracle=launchpad"), "needs --oracle=device, not launchpad"),
        (("--num_seeds=2", "--resume"), "there are no runs to resume in"),
        (("--num_seeds=2", "--devices=7"), "there is no device 7: this process has 0"),
        (("--devices=7",), "there is no device 7: this process has 0"),
        (("--devices=0,0",), "--devices names a device twice: 0,0."),
        (("--devices=first",), "--devices must be numbers of devices, such as 0,1, not 'first'."),
        (("--devices=",), "--devices must be numbers of devices, such as 0,1, not ''."),
        (("--devices=0", "--oracle=exact"), "--devices needs --oracle=device, and has no effect otherwise"),
    ],
)
def test_bad_input_is_one_line(
    flags: tuple[str, ...], said: str, tmp_path: pathlib.Path, launch: Launch
) -> None:
    ended = launch("--game=kuhn_poker", *flags, f"--output_dir={tmp_path / 'new'}")
    assert ended.code == 2
    assert said in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
