"""Lines that tell the user what a run does and how far it is."""

import io
import pathlib
from typing import Any

import pytest

from acme_psro.display.progress import PlainProgress
from acme_psro.population_runs import showing
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.population_runs.showing import ProgressDisplay, describe_program, describe_work
from acme_psro.population_runs.steps import begin
from acme_psro.population_runs.train import train_population
from acme_psro.psro import loop
from tests.acme_psro.population_runs.fakes import World

pytestmark = pytest.mark.usefixtures("quick_module")


class Tasks(PlainProgress):
    """A display that keeps the tasks that it is told of, with their details as they are at the end."""

    def __init__(self, iterations: int, stream: io.StringIO) -> None:
        super().__init__(iterations, stream)
        self.told: list[tuple[int, str, Any]] = []

    def start_iteration(self, iteration: int, text: str, *details: Any) -> None:
        self.told.append((iteration, text, *details))


def shown(
    config: PSROConfig, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch, resume: bool = False
) -> tuple[list[str], Tasks]:
    """Runs with a display; returns the lines that it prints, and the display."""
    made: list[Tasks] = []

    def make_progress(iterations: int, stream: io.StringIO) -> Tasks:
        made.append(Tasks(iterations, stream))
        return made[0]

    monkeypatch.setattr(showing, "make_progress", make_progress)
    stream = io.StringIO()
    run = prepare_run(config, directory, 0.0, pytest.fail, lambda nodes: None)
    train_population(run, directory, begin(run, directory, resume, pytest.fail), [ProgressDisplay(stream)])
    return stream.getvalue().splitlines(), made[0]


def test_an_exact_run_says_what_it_does_where(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PSROConfig("kuhn_poker", oracle="exact", iterations=2)
    lines, display = shown(config, tmp_path, monkeypatch)
    assert lines[0].startswith("kuhn_poker(): 58 nodes, 12 information states")
    assert lines[1] == f"oracle exact; in {tmp_path}"
    assert [line.split()[1] for line in lines[2:]] == ["0/2", "1/2", "2/2"]
    assert [told[:2] for told in display.told] == [
        (0, "computing payoffs of the first policies"),
        (1, "computing best responses"),
        (1, "computing payoffs"),
        (2, "computing best responses"),
        (2, "computing payoffs"),
        (2, "evaluating the last mixture"),
    ]


def test_lines_of_the_run_itself_stand_below_its_tasks(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    display = Tasks(1, io.StringIO())
    monkeypatch.setattr(showing, "make_progress", lambda iterations, stream: display)
    run = prepare_run(
        PSROConfig("kuhn_poker", oracle="exact", iterations=1), tmp_path, 0.0, pytest.fail, lambda nodes: None
    )
    listener = ProgressDisplay(io.StringIO(), lambda: ["half done"])
    train_population(run, tmp_path, begin(run, tmp_path, False, pytest.fail), [listener])
    details = {text: more[0]() for _, text, *more in display.told}
    assert details["computing payoffs"] == details["evaluating the last mixture"] == ["half done"]
    # Workers elsewhere may have something to tell of the oracle's work.
    assert details["computing best responses"] == ["half done"]


def test_a_resumed_run_shows_what_was_done_before(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(PSROConfig("kuhn_poker", oracle="exact", iterations=2), tmp_path, monkeypatch)
    config = PSROConfig("kuhn_poker", oracle="exact", iterations=3)
    lines, display = shown(config, tmp_path, monkeypatch, resume=True)
    assert [line.split()[1] for line in lines[2:]] == ["0/3", "1/3", "2/3", "3/3"]
    assert [told[:2] for told in display.told][:2] == [
        (3, "computing best responses"),
        (3, "computing payoffs"),
    ]


def test_programs_have_lines_of_their_own(
    world: World, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PSROConfig("kuhn_poker", oracle="launchpad", iterations=1, launchpad={"actor_steps": 7000})
    lines, display = shown(config, tmp_path, monkeypatch)
    assert lines[1] == f"oracle launchpad, agent crossq; in {tmp_path}"
    (details,) = [told[2] for told in display.told if told[1] == "training best responses (launchpad)"]
    assert details() == ["player 0's program: starting", "player 1's program: starting"]
    # The programs of the first iteration, as they look while they run.
    key = "".join(f"{number:08x}" for number in loop.iteration_key(0, 0).tolist())
    place = tmp_path / "responses" / key / "player_1" / "run"
    (place / "actor.csv").write_text("actor_steps,episode_return\n1000,-1.0\n2500,0.25\n27")
    assert details()[1] == "player 1's program: 2,500 of 7,000 decisions, last return 0.2500"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (None, "waiting"),
        ({}, "starting"),
        ({"actor.csv": "actor_steps,episode_return\n"}, "starting"),
        ({"actor.csv": "actor_steps,episode_return\n900,1\n"}, "900 of 1,000 decisions, last return 1.0000"),
        ({"actor.csv": "actor_steps,episode_return\n900,nan\n"}, "900 of 1,000 decisions, last return -"),
        ({"actor.csv": "actor_steps,episode_return\n1000,1\n", "finished.json": "{}"}, "finished"),
        ({"actor.csv": "not,a\ntable,at all\n"}, "starting"),
    ],
)
def test_a_program_is_described_by_the_files_that_it_writes(
    tmp_path: pathlib.Path, files: dict[str, str] | None, line: str
) -> None:
    directory = tmp_path / "run"
    if files is not None:
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
    assert describe_program(directory, 1, 1000) == f"player 1's program: {line}"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"oracle": "exact"}, "oracle exact; in runs/x"),
        ({"oracle": "exact", "loop": "xdo"}, "loop xdo, oracle exact; in runs/x"),
        ({"oracle": "launchpad", "agent": "crossq"}, "oracle launchpad, agent crossq; in runs/x"),
        ({"oracle": "device", "agent": "crossq"}, "oracle device, agent crossq, on cpu; in runs/x"),
    ],
)
def test_work_is_described_in_one_line(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], line: str
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert describe_work(settings, pathlib.Path("runs/x")) == line


@pytest.mark.long
def test_only_the_first_iteration_of_a_process_compiles(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = {"gradient_steps": 5, "num_envs": 32, "batch_size": 32, "buffer_size": 1000, "max_extensions": 0}
    small = {"critic_hidden_sizes": (16,), "policy_hidden_sizes": (16,)}
    config = PSROConfig("kuhn_poker", oracle="device", iterations=2, device=device, agent_settings=small)
    _, display = shown(config, tmp_path, monkeypatch)
    training = [told[:2] for told in display.told if "training" in told[1]]
    assert training == [
        (1, "compiling, then training best responses (device)"),
        (2, "training best responses (device)"),
    ]
