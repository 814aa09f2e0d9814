"""Runs on a Ray cluster whose nodes, workers, programs and driver are killed at random (slow).

ACME_PSRO_TEST_KILLS=20 ACME_PSRO_TEST_PROGRAM=ray pytest -s -m slow THIS_FILE makes more kills, with programs
on Ray. Runs follow one another until all kills are made, and each of them must be completed.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from acme_psro.system import tables
from tests.acme_psro.system.executors import ray_nodes
from tests.acme_psro.system.executors.ray_nodes import Nodes

pytestmark = pytest.mark.slow

ITERATIONS = int(os.environ.get("ACME_PSRO_TEST_ITERATIONS", "4"))
KILLS = int(os.environ.get("ACME_PSRO_TEST_KILLS", "6"))
PROGRAM = os.environ.get("ACME_PSRO_TEST_PROGRAM", "launchpad")
SEED = int(os.environ.get("ACME_PSRO_TEST_SEED", "0"))
SECONDS_BETWEEN = (11.0, 40.0)
# A program on Ray takes a core for its learner and one for its actor.
CPUS = {"launchpad": 1, "ray": 2}[PROGRAM]
# What is killed: "driver" is the command, "program" a process of a program, the others are Ray's processes.
KINDS = {
    "launchpad": ("node", "Host", "program", "driver", "worker"),
    "ray": ("node", "Learner", "Actor", "Evaluator", "program", "driver", "worker"),
}[PROGRAM]
PARTS = ("Host", "Learner", "Actor", "Evaluator")

if PROGRAM == "launchpad":
    pytest.importorskip("launchpad")


def commands() -> dict[int, str]:
    """Returns the command line of every process of this machine, by its number."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def of_run(directory: pathlib.Path) -> list[int]:
    """Returns the processes of a run's programs, wherever they run."""
    # The mirrored path of the run's directory is part of each command.
    return sorted(
        pid
        for pid, line in commands().items()
        if "acme_psro.agent_runs." in line and str(directory) in line and pid != os.getpid()
    )


def of_cluster(nodes: Nodes) -> dict[int, str]:
    """Returns the worker processes of a cluster by number: what each of them is, such as "Learner"."""
    found, lines = {}, commands()
    for pid, line in lines.items():
        title = re.match(r"ray::(\w+)", line)
        if title and nodes.address in lines.get(parent_of(pid), ""):
            found[pid] = title[1]
    return found


def parent_of(pid: int) -> int:
    """Returns the number of a process's parent, or 0 if the process is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("PPid:")[2].split()[0])


class Run:
    """The command of a run, which may be killed and resumed."""

    def __init__(self, nodes: Nodes, directory: pathlib.Path) -> None:
        self._nodes, self.directory = nodes, directory
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "acme_psro", "run", "--game=kuhn_poker", "--oracle=program"),
            *(f"--program={PROGRAM}", f"--iterations={ITERATIONS}", "--actor_steps_per_response=6000"),
            *("--executor=ray", f"--ray_address={self._nodes.address}", f"--output_dir={self.directory}"),
        ]
        if (self.directory / "config.json").exists():
            command.append("--resume")
        with open(self.directory.with_suffix(".out"), "ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    def output(self) -> str:
        return self.directory.with_suffix(".out").read_text()

    def has_left(self) -> bool:
        """Returns True if the driver has given up because the node of its own machine was killed."""
        return self.process.poll() == 1 and "has left the cluster" in self.output()[-500:]

    def resume(self) -> None:
        self.process.wait(60)
        rows = tables.read(self.directory / "metrics.csv")
        self.process = self._start()
        print("resumed after iteration", len(rows) - 1, flush=True)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def kill(run: Run, nodes: Nodes, draw: random.Random) -> str:
    """Kills something of a run, and returns what it was; "" if there was nothing of that kind."""
    kind = draw.choice(KINDS)
    if kind == "node":
        nodes.remove(draw.choice(nodes.workers))
        nodes.add(CPUS)
        return kind
    if kind == "driver":
        run.process.kill()
        run.resume()
        return kind
    victims = of_run(run.directory)
    if kind != "program":
        victims = sorted(pid for pid, title in of_cluster(nodes).items() if kind in (title, "worker"))
    if not victims:
        return ""
    victim = draw.choice(victims)
    what = of_cluster(nodes).get(victim, kind)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return ""
    return what if what == kind else f"{kind} ({what})"


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with ray_nodes.cluster(num_nodes=2, num_cpus=CPUS, connect=False) as found:
        yield found


def complete(run: Run, nodes: Nodes, draw: random.Random, killed: list[str]) -> None:
    """Waits for the end of a run and kills something from time to time, until enough is killed."""
    rows: list[float] = []
    due = time.monotonic() + SECONDS_BETWEEN[0]
    while run.process.poll() != 0:
        time.sleep(0.5)
        if run.has_left():
            print("driver ended with the node of its machine", flush=True)
            run.resume()
        assert run.process.poll() in (None, 0), run.output()[-2000:]
        if len(killed) < KILLS and time.monotonic() > due:
            what = kill(run, nodes, draw)
            killed += [what] if what else []
            print(f"{time.strftime('%H:%M:%S')} kill {len(killed)}: {what or 'nothing'}", flush=True)
            due = time.monotonic() + draw.uniform(*SECONDS_BETWEEN)
        known = [row["nash_conv"] for row in tables.read(run.directory / "metrics.csv")]
        # What was recorded stays: no kill takes an iteration back.
        assert known[: len(rows)] == rows
        rows = known
    assert len(rows) == ITERATIONS + 1
    print("completed after", len(killed), "kills:", rows, flush=True)


def test_runs_survive_kills_of_everything(nodes: Nodes, tmp_path: pathlib.Path) -> None:
    draw, killed = random.Random(SEED), list[str]()
    runs = list[Run]()
    try:
        while len(killed) < KILLS:
            runs.append(Run(nodes, tmp_path / f"run{len(runs)}"))
            complete(runs[-1], nodes, draw, killed)
    finally:
        for run in runs:
            run.stop()
            relaunches = [line for line in run.output().splitlines() if "launching it again" in line]
            print(*relaunches, sep="\n", flush=True)
    print(len(runs), "runs completed;", len(killed), "kills:", killed, flush=True)
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        left = [pid for run in runs for pid in of_run(run.directory)]
        left += [pid for pid, title in of_cluster(nodes).items() if title in PARTS]
        if not left:
            return
        time.sleep(0.5)
    raise AssertionError(f"still running: {[commands().get(pid) for pid in left]}")
