"""Tests of jobs on a Ray cluster. Each command is a few lines of Python."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acme_psro.system import process_groups
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.jobs import Event, Job, JobError
from acme_psro.system.retries import Retries
from acme_psro.system.supervision import run_all
from tests.acme_psro.system.executors import ray_nodes
from tests.acme_psro.system.executors.ray_nodes import Nodes

SOON = Retries(most=2, first_wait=0.01, most_wait=0.02, most_lost=2)
# Without site-packages and the user's settings, Python starts in hundredths of a second.
PYTHON = (sys.executable, "-I", "-S", "-c")
PRELUDE = """
import json, os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
def note(name, text):
    path = here / name
    path.with_name("." + name).write_text(str(text))
    os.replace(path.with_name("." + name), path)
"""

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_nodes.cluster(num_nodes=2) as found:
        yield found


@pytest.fixture
def job(tmp_path: pathlib.Path) -> MakeJob:
    """A function `(script, *arguments, name="job", **others) -> Job`, which is done with its file `done`."""

    def make(script: str, *arguments: Any, name: str = "job", **others: Any) -> Job:
        directory = tmp_path / name
        command = (*PYTHON, PRELUDE + textwrap.dedent(script), str(directory), *map(str, arguments))
        done = (directory / "done").exists
        return Job(name, command, done, directory=directory, marker="done", **others)

    return make


def run(nodes: Nodes, *jobs: Job, cpus_per_response: float = 1.0, **options: Any) -> list[Event]:
    """Runs jobs on the cluster and returns the events."""
    events: list[Event] = []
    executor = make_executor(nodes.placing(cpus_per_response=cpus_per_response))
    defaults = {"retries": SOON, "poll_seconds": 0.02, "on_event": events.append, "at_once": executor.room(1)}
    run_all(jobs, executor=executor, **defaults | options)
    return events


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return process_groups.is_alive(os.getpgid(pid))
    return False


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_files_travel_there_and_back(nodes: Nodes, job: MakeJob, tmp_path: pathlib.Path) -> None:
    given = tmp_path / "given" / "table.bin"
    given.parent.mkdir()
    given.write_bytes(bytes(range(256)))
    (tmp_path / "job" / "inner").mkdir(parents=True)
    (tmp_path / "job" / "inner" / "begun").write_bytes(b"begun")
    script = """
        data = pathlib.Path(json.loads(sys.argv[2])["opponent"]).read_bytes()
        (here / "back.bin").write_bytes(data[::-1] + (here / "inner" / "begun").read_bytes())
        (here / "config.json").write_text(json.dumps({"opponent": json.loads(sys.argv[2])["opponent"]}))
        note("where", here)
        note("threads", os.environ["OMP_NUM_THREADS"])
        note("done", "")
    """
    made = job(script, f'{{"opponent": "{given}"}}', inputs=[given])
    assert run(nodes, made) == [Event("job", "started"), Event("job", "done")]
    back = tmp_path / "job"
    assert (back / "back.bin").read_bytes() == bytes(range(255, -1, -1)) + b"begun"
    # The paths of this machine, though the command saw others.
    assert (back / "config.json").read_text() == f'{{"opponent": "{given}"}}'
    where = pathlib.Path((back / "where").read_text())
    assert where != back
    assert (back / "threads").read_text() == "1"
    assert not where.exists()
    assert not list(back.glob(".*"))
    assert run(nodes, made) == []


CHECKPOINTED = """
    def save(step):
        (here / "checkpoints" / f"{step}.tmp").mkdir(parents=True)
        (here / "checkpoints" / f"{step}.tmp" / ".array").write_text(str(step))
        (here / "checkpoints" / f"{step}.tmp").rename(here / "checkpoints" / str(step))
    saved = sorted(int(each.name) for each in here.glob("checkpoints/*"))
    note("pid", os.getpid())
    note("begun_with", saved)
    if not saved:
        save(1)
        save(2)
        time.sleep(60)
    note("done", (here / "checkpoints" / "2" / ".array").read_text())
"""


def interrupted(
    nodes: Nodes, made: Job, interrupt: Callable[[int], None], cpus_per_response: float = 1.0
) -> list[Event]:
    """Runs a job with checkpoints and interrupts it once the second checkpoint is back."""
    done: list[int] = []

    def look() -> None:
        directory = made.directory
        assert directory is not None
        if not done and (directory / "checkpoints" / "2" / ".array").exists():
            done.append(int((directory / "pid").read_text()))
            assert alive(done[0])
            interrupt(done[0])

    events = run(nodes, made, cpus_per_response=cpus_per_response, on_poll=look)
    assert (made.directory or pathlib.Path()).joinpath("begun_with").read_text() == "[1, 2]"
    wait_until(lambda: not alive(done[0]))
    return events


def test_a_removed_node_costs_what_came_after_the_last_checkpoint(nodes: Nodes, job: MakeJob) -> None:
    # The only node with room for two CPUs is the one that will be removed.
    lost = nodes.add(num_cpus=2)

    def remove(pid: int) -> None:
        del pid
        nodes.remove(lost)
        nodes.add(num_cpus=2)

    events = interrupted(nodes, job(CHECKPOINTED), remove, cpus_per_response=2.0)
    assert [event.kind for event in events] == ["started", "failed", "started", "done"]


def test_a_killed_actor_leaves_no_process_and_its_job_goes_on(nodes: Nodes, job: MakeJob) -> None:
    def kill(pid: int) -> None:
        # The actor's process, which is the parent of the command.
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        os.kill(int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL)

    events = interrupted(nodes, job(CHECKPOINTED), kill)
    assert [event.kind for event in events] == ["started", "failed", "started", "done"]
    assert "was lost with its Ray node or its worker process" in events[1].message


def test_hosts_are_used_again_and_replaced_if_they_are_lost_without_a_job(
    nodes: Nodes, job: MakeJob, tmp_path: pathlib.Path
) -> None:
    def hosts(*names: str) -> set[int]:
        """Runs jobs one after the other and returns the processes that have carried them out."""
        for name in names:
            made = job("note('host', os.getppid()); note('done', '')", name=name)
            assert [event.kind for event in run(nodes, made)] == ["started", "done"]
        return {int((tmp_path / name / "host").read_text()) for name in names}

    first = hosts("a", "b", "c", "d", "e")
    assert len(first) <= len(nodes.workers)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    assert not first & hosts("f", "g")


def test_a_refusal_is_one_error(nodes: Nodes, job: MakeJob) -> None:
    with pytest.raises(ValueError, match=r"^no such game\.$"):
        run(nodes, job("print('error: no such game.', file=sys.stderr); sys.exit(2)"))


def test_a_failure_is_told_with_the_paths_of_this_machine(
    nodes: Nodes, job: MakeJob, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(JobError) as caught:
        run(
            nodes, job("print(f'cannot read {here}/table', file=sys.stderr); sys.exit(1)"), retries=Retries(0)
        )
    assert str(caught.value) == f"ended with code 1 before it was done: cannot read {tmp_path}/job/table"


def test_jobs_run_side_by_side_and_an_interrupt_ends_all(
    nodes: Nodes, job: MakeJob, tmp_path: pathlib.Path
) -> None:
    script = "note('pid', os.getpid()); time.sleep(60)"
    pids: list[int] = []

    def look() -> None:
        found = [path for path in (tmp_path / "a/pid", tmp_path / "b/pid") if path.exists()]
        if len(found) == 2:
            pids.extend(int(path.read_text()) for path in found)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(nodes, job(script, name="a"), job(script, name="b"), on_poll=look, stop_seconds=1.0)
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_a_cluster_without_gpus_says_what_it_has(nodes: Nodes) -> None:
    expected = (
        r"^no node of the Ray cluster has room for --cpus_per_response=1 --gpus_per_response=1: its \d nodes "
        r"have ([0-2] CPUs and 0 GPUs(, )?)+\.$"
    )
    with pytest.raises(ValueError, match=expected):
        make_executor(nodes.placing(gpus_per_response=1.0))


DRIVER = """
import pathlib, sys
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.placing import Placing
from acme_psro.system.jobs import Job
from acme_psro.system.supervision import run_all
directory = pathlib.Path(sys.argv[2])
script = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1] + '/pid', 'w')); time.sleep(99)"
job = Job("job", (sys.executable, "-c", script, str(directory)), lambda: False, directory=directory)
run_all([job], executor=make_executor(Placing("ray", sys.argv[1])))
"""


def test_a_killed_driver_leaves_nothing_on_the_nodes(nodes: Nodes, tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "job"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, nodes.address, str(directory)])
    # The file may come back while it is still empty.
    wait_until(lambda: (directory / "pid").exists() and (directory / "pid").read_text().strip(), seconds=60.0)
    pid = int((directory / "pid").read_text())
    scratch = (
        pathlib.Path(f"/proc/{pid}/environ").read_bytes().partition(b"TMPDIR=")[2].split(b"\0")[0].decode()
    )
    assert alive(pid)
    driver.kill()
    driver.wait()
    wait_until(lambda: not alive(pid))
    wait_until(lambda: not pathlib.Path(scratch).exists())
