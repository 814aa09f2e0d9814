"""Tests of supervision. Each child is a script of a few lines of Python."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from acme_psro.system import process_groups, supervision
from acme_psro.system.executors.base import LOST
from acme_psro.system.jobs import LOST_A_PART, Event, Failure, Job, JobError
from acme_psro.system.retries import Retries
from acme_psro.system.supervision import run_all

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOON = Retries(most=2, first_wait=0.01, most_wait=0.02, most_lost=3)
# Without site-packages and the user's settings, Python starts in hundredths of a second.
PYTHON = (sys.executable, "-I", "-S", "-c")

MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def scratch(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Directory in which temporary directories are created. It must be empty at the end of a test."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    return place


@pytest.fixture
def job(tmp_path: pathlib.Path) -> MakeJob:
    """A function `(script, name="job", **others) -> Job`. The job is done when the file `name` exists.

    Scripts run in `tmp_path`. They can use `launch` (the number of earlier launches), `name`, `touch` and
    `note`.
    """
    prelude = f"""
import os, signal, subprocess, sys, time
os.chdir({str(tmp_path)!r})
def touch(name):
    open(name, "a").close()
def note(name, text=""):
    with open(name, "a") as file:
        print(text, file=file, flush=True)
"""

    def make(script: str, name: str = "job", **others: Any) -> Job:
        count = f"name = {name!r}\nlaunch = sum(1 for _ in open(name + '.launches')) - 1\n"
        text = prelude + f"note({name!r} + '.launches', os.getpid())\n" + count + textwrap.dedent(script)
        return Job(name, (*PYTHON, text), (tmp_path / name).exists, **others)

    return make


def pids(tmp_path: pathlib.Path, name: str = "job") -> list[int]:
    """Returns the process ids of all launches of a job."""
    path = tmp_path / f"{name}.launches"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def run(*jobs: Job, **options: Any) -> list[Event]:
    """Runs jobs and returns the events."""
    events: list[Event] = []
    run_all(jobs, **{"retries": SOON, "poll_seconds": 0.01, "on_event": events.append} | options)
    return events


def assert_gone(tmp_path: pathlib.Path, *names: str) -> None:
    """Asserts that no process of the jobs is left, and no temporary directory."""
    found = [pid for name in names or ("job",) for pid in pids(tmp_path, name)]
    assert found
    assert not any(process_groups.is_alive(pid) for pid in found)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_job_runs_once_and_is_left_alone_when_it_is_done(tmp_path: pathlib.Path, job: MakeJob) -> None:
    done = job("touch(name)")
    assert run(done) == [Event("job", "started"), Event("job", "done")]
    assert run(done) == []
    assert len(pids(tmp_path)) == 1
    assert_gone(tmp_path)


def test_a_child_has_a_session_and_a_temporary_directory_of_its_own(
    tmp_path: pathlib.Path, scratch: pathlib.Path, job: MakeJob
) -> None:
    script = (
        "note('about', f'{os.getsid(0)} {os.getpgid(0)} {os.environ[\"TMPDIR\"]} {os.environ[\"MORE\"]}')"
    )
    run(job(f"{script}; touch(os.environ['TMPDIR'] + '/left'); touch(name)", environment={"MORE": "yes"}))
    session, group, place, more = (tmp_path / "about").read_text().split()
    assert int(session) == int(group) == pids(tmp_path)[0] != os.getsid(0)
    assert pathlib.Path(place).parent == scratch
    assert more == "yes"
    assert_gone(tmp_path)


def test_as_many_as_allowed_run_at_once_in_their_order(tmp_path: pathlib.Path, job: MakeJob) -> None:
    script = "note('begun', name); time.sleep(0.2); note('ended', name); touch(name)"
    jobs = [job(script, name) for name in "abcd"]
    running, most = 0, 0
    for event in run(*jobs, at_once=2):
        running += {"started": 1, "done": -1}[event.kind]
        most = max(most, running)
    assert most == 2
    assert sorted((tmp_path / "begun").read_text().split()[:2]) == ["a", "b"]
    assert sorted((tmp_path / "ended").read_text().split()) == list("abcd")
    assert_gone(tmp_path, *"abcd")


def test_a_job_that_fails_is_launched_again_and_says_so(tmp_path: pathlib.Path, job: MakeJob) -> None:
    events = run(job("if launch < 2: sys.exit('no luck')\ntouch(name)"))
    message = "ended with code 1 before it was done: no luck; launching it again in"
    assert events == [
        Event("job", "started"),
        Event("job", "failed", f"{message} 0.01 s (1 of 2)"),
        Event("job", "started"),
        Event("job", "failed", f"{message} 0.02 s (2 of 2)"),
        Event("job", "started"),
        Event("job", "done"),
    ]
    assert_gone(tmp_path)


def test_a_job_that_keeps_failing_is_given_up_and_the_others_are_ended(
    tmp_path: pathlib.Path, job: MakeJob
) -> None:
    hopeless = job("os.kill(os.getpid(), signal.SIGSEGV)", "hopeless")
    with pytest.raises(JobError, match=r"^was killed by SIGSEGV; launched 3 times without") as caught:
        run(hopeless, job("time.sleep(60)"), at_once=2)
    assert caught.value.job == "hopeless"
    assert len(pids(tmp_path, "hopeless")) == 3
    assert_gone(tmp_path, "hopeless", "job")


def test_a_job_that_is_killed_from_outside_gets_more_attempts_than_one_that_fails(
    tmp_path: pathlib.Path, job: MakeJob
) -> None:
    """Failures and losses have limits of their own, and each wait is longer than the one before."""
    script = (
        f"if launch in (0, 2): sys.exit(1)\nif launch == 1: sys.exit({LOST_A_PART})\nos.kill(os.getpid(), 9)"
    )
    slow = Retries(most=2, first_wait=0.01, factor=1.5, most_wait=0.1, most_lost=3)
    events: list[Event] = []
    with pytest.raises(JobError, match=r"^was killed by SIGKILL; lost 4 times without getting on$"):
        run(job(script), retries=slow, on_event=events.append)
    told = [event.message.partition("again in ")[2] for event in events if event.kind == "failed"]
    assert told == [
        *("0.01 s (1 of 2)", "0.015 s (1 of 3)", "0.0225 s (2 of 2)"),
        *("0.03375 s (2 of 3)", "0.050625 s (3 of 3)"),
    ]
    assert_gone(tmp_path)


def test_a_job_that_gets_on_may_fail_more_often(tmp_path: pathlib.Path, job: MakeJob) -> None:
    """Every second launch makes a checkpoint, so no three launches in a row fail without progress."""
    script = "if launch % 2: note('checkpoint')\nif launch < 7: sys.exit(1)\ntouch(name)"
    landmark = lambda: (tmp_path / "checkpoint").exists() and (tmp_path / "checkpoint").stat().st_size  # noqa: E731
    events = run(job(script, landmark=landmark))
    assert len(pids(tmp_path)) == 8
    counted = [event.message.rpartition("(")[2] for event in events if event.kind == "failed"]
    assert counted == ["1 of 2)", "1 of 2)", "2 of 2)", "1 of 2)", "2 of 2)", "1 of 2)", "2 of 2)"]


def test_what_the_child_left_of_its_failure_is_what_is_told(tmp_path: pathlib.Path, job: MakeJob) -> None:
    def failure(how: str) -> Failure:
        return Failure(f"{(tmp_path / 'why').read_text().split()[-1]}, {how}")

    failing = job("note('why', f'lost {launch}'); os.kill(os.getpid(), signal.SIGABRT)", failure=failure)
    with pytest.raises(JobError, match=r"^2, was killed by SIGABRT; launched 3 times"):
        run(failing)
    with pytest.raises(JobError, match=r"^3, was killed by SIGABRT$"):
        run(failing, retries=Retries(most=0))


def test_a_final_failure_is_not_tried_again(tmp_path: pathlib.Path, job: MakeJob) -> None:
    failing = job("sys.exit(1)", failure=lambda how: Failure("learning diverged", is_final=True))
    with pytest.raises(JobError, match=r"^learning diverged$"):
        run(failing)
    assert len(pids(tmp_path)) == 1


@pytest.mark.parametrize(
    ("printed", "message"),
    [("noise\nerror: no such game", "no such game"), ("", "job was refused without a reason.")],
)
def test_bad_input_is_not_tried_again(
    printed: str, message: str, tmp_path: pathlib.Path, job: MakeJob
) -> None:
    script = f"print({printed!r}, file=sys.stderr); sys.exit(2)"
    with pytest.raises(ValueError, match=f"^{message}$"):
        run(job(script), job("time.sleep(60)", "other"), at_once=2)
    assert len(pids(tmp_path)) == 1
    assert_gone(tmp_path, "job", "other")


def test_failed_jobs_do_not_stop_the_others_if_somebody_takes_their_errors(
    tmp_path: pathlib.Path, job: MakeJob
) -> None:
    failed: list[JobError] = []
    refused = job("print('error: no such game'); sys.exit(2)", "refused")
    hopeless = job("sys.exit(1)", "hopeless")
    events = run(refused, hopeless, job("touch(name)"), on_failed=failed.append)
    assert [error.job for error in failed] == ["refused", "hopeless"]
    assert str(failed[0]) == "no such game" and "launched 3 times" in str(failed[1])
    assert Event("job", "done") in events
    assert [len(pids(tmp_path, name)) for name in ("refused", "hopeless", "job")] == [1, 3, 1]
    assert_gone(tmp_path, "refused", "hopeless", "job")


def test_what_ends_after_its_work_is_done_has_not_failed(tmp_path: pathlib.Path, job: MakeJob) -> None:
    assert run(job("touch(name); sys.exit(1)"))[-1] == Event("job", "done")


def size_of(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_child_without_a_sign_of_life_is_launched_again(tmp_path: pathlib.Path, job: MakeJob) -> None:
    """One of two signs of life stops, because its process was stopped. That process also ignores SIGTERM."""
    script = """
    if launch:
        touch(name)
        sys.exit()
    writer = "import sys, time\\nfor i in range(600):\\n open(sys.argv[1], 'a').write('.'); time.sleep(0.05)"
    ones = [subprocess.Popen([sys.executable, '-I', '-S', '-c', writer, each]) for each in ('a', 'b')]
    time.sleep(0.5)
    ones[1].send_signal(signal.SIGSTOP)
    time.sleep(60)
    """
    signs = lambda: {each: size_of(tmp_path / each) for each in "ab" if size_of(tmp_path / each)}  # noqa: E731
    started = time.monotonic()
    events = run(job(script, signs=signs), hang_seconds=1.0, stop_seconds=1.0)
    assert [event.kind for event in events] == ["started", "failed", "started", "done"]
    assert events[1].message.startswith("showed no sign of life for 1.0 s; launching it again")
    # SIGTERM, the wait for processes that ignore it, and SIGKILL.
    assert 1.5 < time.monotonic() - started < 15
    assert_gone(tmp_path)


def test_a_child_that_never_shows_a_sign_of_life_is_ended(tmp_path: pathlib.Path, job: MakeJob) -> None:
    with pytest.raises(JobError, match=r"^showed no sign of life for 2.0 s$"):
        run(job("time.sleep(60)"), hang_seconds=2.0, retries=Retries(most=0))
    assert_gone(tmp_path)


def test_a_child_that_goes_on_showing_signs_of_life_is_left_alone(
    tmp_path: pathlib.Path, job: MakeJob
) -> None:
    script = "for _ in range(50):\n note('a'); time.sleep(0.05)\ntouch(name)"
    events = run(job(script, signs=lambda: {"a": size_of(tmp_path / "a")}), hang_seconds=2.0)
    assert [event.kind for event in events] == ["started", "done"]


def test_children_may_end_by_themselves_when_asked(tmp_path: pathlib.Path, job: MakeJob) -> None:
    script = """
    def end(*_):
        note('asked')
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    touch('ready')
    time.sleep(60)
    """

    def interrupt() -> None:
        if (tmp_path / "ready").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job(script), on_poll=interrupt)
    assert (tmp_path / "asked").exists()
    assert_gone(tmp_path)


def test_a_request_to_end_is_like_ctrl_c_and_leaves_nothing(tmp_path: pathlib.Path, job: MakeJob) -> None:
    """Processes that ignore SIGTERM are ended too, and so are their children."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    script = f"""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, '-I', '-S', '-c', {deaf!r}])
    time.sleep(0.3)
    touch('ready')
    time.sleep(60)
    """
    before = signal.getsignal(signal.SIGTERM)

    def interrupt() -> None:
        if (tmp_path / "ready").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run(job(script), on_poll=interrupt, stop_seconds=0.3)
    assert signal.getsignal(signal.SIGTERM) == before
    assert_gone(tmp_path)


def test_what_a_killed_child_has_started_is_asked_to_end_too(tmp_path: pathlib.Path, job: MakeJob) -> None:
    node = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, end)
time.sleep(60)
"""
    script = f"""
    if not launch:
        subprocess.Popen([sys.executable, '-I', '-S', '-c', {node!r}, 'saved'])
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    touch(name)
    """
    run(job(script))
    assert (tmp_path / "saved").exists()
    assert_gone(tmp_path)


def test_it_runs_outside_the_main_thread_too(tmp_path: pathlib.Path, job: MakeJob) -> None:
    thread = threading.Thread(target=run, args=(job("touch(name)"),))
    thread.start()
    thread.join(30)
    assert (tmp_path / "job").exists()
    assert_gone(tmp_path)


SUPERVISOR = """
import sys
from acme_psro.system.jobs import Job
from acme_psro.system.supervision import run_all
node = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w')); time.sleep(120)"
script = (
    "import os, subprocess, sys, time\\n"
    f"subprocess.Popen([sys.executable, '-I', '-S', '-c', {node!r}, sys.argv[1] + '.node'])\\n"
    "print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True)\\n"
    "time.sleep(120)\\n"
)
run_all([Job("job", (sys.executable, "-I", "-S", "-c", script, sys.argv[1]), lambda: False)])
"""


def wait_for_number(path: pathlib.Path) -> int:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


@pytest.mark.parametrize("also_the_child", [False, True])
def test_nothing_outlives_a_supervisor_that_is_killed(
    also_the_child: bool, tmp_path: pathlib.Path, scratch: pathlib.Path
) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path / "pid")], cwd=ROOT)
    group, _ = wait_for_number(tmp_path / "pid"), wait_for_number(tmp_path / "pid.node")
    assert process_groups.is_alive(group)
    assert len(list(scratch.iterdir())) == 1
    # Both are stopped first, so that neither can react to the end of the other.
    os.kill(supervisor.pid, signal.SIGSTOP)
    if also_the_child:
        os.kill(group, signal.SIGKILL)
    supervisor.kill()
    supervisor.wait()
    deadline = time.monotonic() + 10
    while (process_groups.is_alive(group) or any(scratch.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process_groups.is_alive(group)
    assert list(scratch.iterdir()) == []


def test_a_command_that_is_not_there_leaves_nothing(scratch: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(Job("job", ["/no/such/program"], lambda: False))
    assert list(scratch.iterdir()) == []


def test_no_job_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 job must run at once, not 0"):
        supervision.run_all([], at_once=0)


class FakeCluster:
    """An executor whose children wait for room, are lost, or end well, as a test says.

    Args:
      codes: the code of each child, in their order.
      touch: called when a child that ends with 0 ends.
    """

    def __init__(self, codes: list[int], touch: Callable[[], None]) -> None:
        self.codes, self.touch = codes, touch
        self.polls = 0

    def start(self, job: Job) -> FakeCluster:
        del job
        self.polls = 0
        return self

    def room(self, at_once: int) -> int:
        return at_once

    def has_begun(self) -> bool:
        return self.polls > 30

    def poll(self) -> int | None:
        self.polls += 1
        if self.polls <= 30:
            return None
        if self.codes[0] == 0:
            self.touch()
        return self.codes[0]

    def last_line(self) -> str:
        return "was lost with its machine"

    def ask_to_end(self) -> None:
        pass

    def end(self, seconds: float) -> None:
        del seconds
        self.codes.pop(0)


def test_another_executor_may_lose_children_and_let_them_wait(tmp_path: pathlib.Path) -> None:
    cluster = FakeCluster([LOST, 0], (tmp_path / "done").touch)
    job = Job("job", ("unused",), (tmp_path / "done").exists)
    # Waiting for room is no sign of a child that hangs.
    events = run(job, executor=cluster, hang_seconds=0.1)
    assert [event.kind for event in events] == ["started", "failed", "started", "done"]
    assert events[1].message == "was lost with its machine; launching it again in 0.01 s (1 of 3)"
