"""Tests of the report and the figure with invented measurements."""

import math
import pathlib

import pytest

from acme_psro.system import cores
from experiments.benchmarks.scaling import report
from experiments.benchmarks.scaling.model import Limiter
from experiments.benchmarks.scaling.picture import write_picture
from experiments.benchmarks.scaling.programs import Program, Watched
from experiments.benchmarks.scaling.services import Cost, Costs, Parts, Usage

Capture = pytest.CaptureFixture[str]

# A decision is inserted in 25 microseconds, drawn 32 times in 2 each, and read in four streams in 50 each.
COSTS = Costs(
    acting=Cost(40e-6, Usage(40e-6, 40e-6), None),
    acting_and_writing=Cost(90e-6, Usage(100e-6, 80e-6), Usage(25e-6, 25e-6)),
    writing=Cost(50e-6, Usage(50e-6, 30e-6), Usage(20e-6, 10e-6)),
    several_writing=Cost(45e-6, Usage(50e-6, 30e-6), Usage(20e-6, 10e-6)),
    reading=Cost(20e-6, Usage(50e-6, 16e-6), Usage(2e-6, 2e-6)),
    learning=Cost(2e-3, Usage(2e-3, 2e-3), None),
    variables=Cost(2e-4, Usage(2e-4, 2e-4), None),
    far_variables=Cost(1e-4, Usage(1e-4, 1e-4), None),
)
SIZES = {
    "batch_size": 512,
    "gradient_steps": 4,
    "games": 16,
    "pending": 32,
    "fetch_period": 160,
    "streams": 4,
    "prefetch": 4,
}
PARTS = Parts(COSTS, Limiter(32.0, 2000.0, 57_600.0, 70_400.0), SIZES)
NUMBERS = (1, 2, 4, 8, 16)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[Program, Watched]:
    """Measurements on a machine with two cores."""
    monkeypatch.setattr(cores, "count", lambda: 2)
    return {
        Program(1, True): Watched(900.0, 56.25, 12.5),
        Program(2, True): Watched(910.0, 57.0, 13.0),
        Program(1, False): Watched(8000.0, 0.0, math.nan),
        Program(2, False): Watched(1000.0, 0.0, math.nan),
    }


def test_programs_and_what_ties_them(watched: dict[Program, Watched], capsys: Capture) -> None:
    report.print_programs(watched)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[3] == ["1", "actor,", "as", "it", "runs", "900", "56.2", "16.0", "12.5"]
    assert lines[5] == ["1", "actor,", "nobody", "learns", "8,000", "-", "-", "-"]
    report.print_parts(PARTS)
    printed = capsys.readouterr().out
    cells = {line[:30].strip(): line[30:].split()[-5:] for line in printed.splitlines()}
    assert cells["decision drawn and read"] == ["20.0", "50.0", "16.0", "2.0", "2.0"]
    assert cells["gradient step, batch of 512"] == ["2,000.0", "2,000.0", "2,000.0", "-", "-"]
    assert "drawn 32 times on average: one gradient step comes to 16 env steps" in printed
    assert "ahead by more than 200 env steps waits" in printed


def test_simulation_is_held_against_what_was_measured(
    watched: dict[Program, Watched], capsys: Capture
) -> None:
    report.print_comparison(PARTS, watched)
    printed = capsys.readouterr().out
    rows = {line.rpartition("  ")[0]: line for line in printed.splitlines()}
    # Core microseconds of an env step without learning: 125, on two cores.
    (row,) = [line.split() for line in rows.values() if line.startswith("2 actors, nobody learns")]
    assert float(row[-2].replace(",", "")) == pytest.approx(2 / 125e-6, rel=0.05)
    assert float(row[-1]) == pytest.approx(16.0, rel=0.05)
    assert "bar: simulation within 25% of every program that was measured: MISSED" in printed
    close = {program: seen for program, seen in watched.items() if program == Program(1, False)}
    report.print_comparison(PARTS, close)
    assert "measured: met" in capsys.readouterr().out


def test_curves_tell_where_they_end_and_why(watched: dict[Program, Watched], capsys: Capture) -> None:
    learning, alone = report.make_curves(PARTS, watched, NUMBERS)
    # Four streams read 32 decisions for an env step: 2,500 a second, less than one actor makes.
    assert (learning.saturated_at, learning.limit) == (1, "reading samples in the learner's process")
    assert learning.on_own_cores[1] == pytest.approx(2500, rel=0.03)
    assert learning.measured == {1: 900.0, 2: 910.0}
    # Replay inserts 40,000 a second, and an actor makes 10,000.
    assert (alone.saturated_at, alone.limit) == (4, "replay's server")
    assert list(alone.on_own_cores.values()) == pytest.approx([10e3, 20e3, 40e3, 40e3, 40e3], rel=0.02)
    assert alone.on_machine[2] == pytest.approx(16_000, rel=0.05)
    report.print_curves(PARTS, [learning, alone])
    printed = capsys.readouterr().out
    assert "as it runs: saturated from 1 actor on, 2,500 env steps/s, by reading samples" in printed
    assert "nobody learns: saturated from 4 actors on, 40,000 env steps/s, by replay's server" in printed
    assert "nobody learns: an actor allows 10,000; whatever their number, replay's server 40,000" in printed


def test_what_never_saturates_is_told(watched: dict[Program, Watched], capsys: Capture) -> None:
    curves = report.make_curves(PARTS, watched, (1, 2))
    assert curves[1].saturated_at is None
    report.print_curves(PARTS, curves)
    assert "nobody learns: not saturated by 2 actors, 20,000 env steps/s" in capsys.readouterr().out


def test_picture_is_written(watched: dict[Program, Watched], tmp_path: pathlib.Path) -> None:
    path = tmp_path / "scaling.png"
    write_picture(str(path), "title", report.make_curves(PARTS, watched, NUMBERS), 2)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir()] == ["scaling.png"]
