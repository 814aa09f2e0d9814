"""Tests of acme_psro.sweeps.run, with an executor that writes the files of runs at once."""

import io
import pathlib
import re
from collections.abc import Callable

import pytest

from acme_psro.storage.run_config import RunDirectoryError
from acme_psro.sweeps.cells import make_cells
from acme_psro.sweeps.directory import is_finished
from acme_psro.sweeps.run import Ended, carry_out, opened_sweep
from acme_psro.system.jobs import Job
from tests.acme_psro.sweeps.files import SOLVERS, read, write_run

# The exit code of a job's next launch and its last line; an unfinished run has no record that it is done.
_Outcome = tuple[int, str]


class _Launched:
    """A job that has ended as soon as it is started."""

    def __init__(self, outcome: _Outcome) -> None:
        self._outcome = outcome

    def has_begun(self) -> bool:
        return True

    def poll(self) -> int:
        return self._outcome[0]

    def last_line(self) -> str:
        return self._outcome[1]

    def ask_to_end(self) -> None:
        pass

    def end(self, seconds: float) -> None:
        pass


class _Executor:
    """Executor whose jobs write two rows; those whose name is in `outcomes` end as it says."""

    def __init__(self, outcomes: dict[str, list[_Outcome]] | None = None) -> None:
        self.outcomes = outcomes or {}
        self.started: list[str] = []
        self.on_start: Callable[[Job], None] = lambda job: None

    def start(self, job: Job) -> _Launched:
        self.started.append(job.name)
        self.on_start(job)
        outcome = self.outcomes[job.name].pop(0) if self.outcomes.get(job.name) else (0, "")
        assert job.directory is not None
        (seed,) = re.findall(r"--seed=(\d+)", " ".join(job.command))
        write_run(job.directory, [0.5, 0.1 * int(seed)], finished=outcome[0] == 0)
        return _Launched(outcome)

    def room(self, at_once: int) -> int:
        return at_once


def _carry_out(
    tmp_path: pathlib.Path, executor: _Executor, text: str = SOLVERS, resume: bool = False
) -> tuple[Ended, str]:
    file = read(tmp_path, text)
    stream = io.StringIO()
    with opened_sweep(file, make_cells(file), tmp_path / "sweep", resume) as sweep:
        return carry_out(sweep, executor, 2, print, stream, poll_seconds=0.0), stream.getvalue()


def test_all_runs_are_carried_out_and_compared(tmp_path: pathlib.Path) -> None:
    executor = _Executor()
    ended, shown = _carry_out(tmp_path, executor)
    assert executor.started == [
        f"{name}/seed_{seed}" for seed in (0, 1) for name in ("nash", "uniform", "prd")
    ]
    assert (ended.failed, ended.has_report) == ({}, True)
    assert re.match(r"nash +exploitability +0.0500 ± 0.6353 +2 +1 +4.0 s", ended.lines[1])
    assert len((tmp_path / "sweep" / "sweep.csv").read_text().splitlines()) == 1 + 3 * 2
    assert shown.startswith(
        "0 of 6 runs done, 0 running\nnash/seed_0: done: iteration 1, exploitability 0.0000\n"
    )


def test_a_failed_run_does_not_stop_the_others_and_is_tried_again(tmp_path: pathlib.Path) -> None:
    outcomes = {
        "prd/seed_0": [(2, "error: this is refused")],
        "nash/seed_1": [(-9, ""), (1, "error: broken"), (1, "error: broken")],
    }
    executor = _Executor(outcomes)
    ended, shown = _carry_out(tmp_path, executor)
    assert ended.failed["prd/seed_0"] == "this is refused"
    # A kill from outside is no failure. Of two failures with the same checkpoint, the second one is final.
    assert ended.failed["nash/seed_1"].startswith("ended with code 1 before it was done: error: broken")
    assert executor.started.count("nash/seed_1") == 3 and executor.started.count("prd/seed_0") == 1
    assert "nash/seed_1: was killed by SIGKILL; launching it again in 1 s" in shown
    assert "prd/seed_0: failed: this is refused" in shown
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert "4 of 6 runs are done, 2 failed." in page and "this is refused" in page
    # The failed seed is no part of its cell's mean.
    assert re.match(r"nash +exploitability +0.0000 +1 ", ended.lines[1])
    again = _Executor()
    ended, _ = _carry_out(tmp_path, again, resume=True)
    assert sorted(again.started) == ["nash/seed_1", "prd/seed_0"] and ended.failed == {}


def test_an_interrupted_sweep_leaves_its_files_and_goes_on(tmp_path: pathlib.Path) -> None:
    def interrupt(job: Job) -> None:
        if job.name == "nash/seed_1":
            raise KeyboardInterrupt

    executor = _Executor()
    executor.on_start = interrupt
    with pytest.raises(KeyboardInterrupt):
        _carry_out(tmp_path, executor)
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert re.search(r"Stopped: \d of 6 runs done, .*; the sweep can be resumed\.", page)
    done = {name for name in executor.started if is_finished(tmp_path / "sweep" / name)}
    rest = _Executor()
    ended, _ = _carry_out(tmp_path, rest, resume=True)
    assert done.isdisjoint(rest.started) and len(done) + len(rest.started) == 6
    assert ended.failed == {}


def test_added_cells_and_seeds_are_the_only_ones_that_run(tmp_path: pathlib.Path) -> None:
    _carry_out(tmp_path, _Executor())
    executor = _Executor()
    text = SOLVERS.replace("prd]", "prd, regret_matching]").replace("[0, 1]", "[0, 1, 2]")
    _carry_out(tmp_path, executor, text, resume=True)
    assert len(executor.started) == 12 - 6
    assert [name for name in executor.started if "regret" not in name] == [
        "nash/seed_2",
        "uniform/seed_2",
        "prd/seed_2",
    ]
    with pytest.raises(RunDirectoryError, match="seeds lack 2"):
        _carry_out(tmp_path, executor, text.replace("[0, 1, 2]", "[0, 1]"), resume=True)


def test_jobs_are_commands_that_can_be_launched_again(tmp_path: pathlib.Path) -> None:
    jobs: list[Job] = []
    executor = _Executor()
    executor.on_start = jobs.append
    _carry_out(tmp_path, executor, "import_module: [os.path]\n" + SOLVERS)
    directory = tmp_path / "sweep" / "uniform" / "seed_1"
    (job,) = (job for job in jobs if job.name == "uniform/seed_1")
    assert list(job.command)[1:] == [
        *("-m", "acme_psro.commands.sweep_child", "run", "--import_module=os.path"),
        *("--game=kuhn_poker", "--oracle=exact", "--iterations=3", "--meta_solver=uniform"),
        *("--seed=1", f"--output_dir={directory}"),
    ]
    assert (job.directory, job.marker, job.is_done()) == (directory, "finished.json", True)
    before = job.landmark()
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "state_00002.json").touch()
    assert job.landmark() != before
