"""A run on a Ray cluster whose nodes, workers, programs and driver are killed at random (slow)."""

from __future__ import annotations

import os
import pathlib
import random
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

pytest.importorskip("launchpad")

ITERATIONS = int(os.environ.get("ACME_PSRO_TEST_ITERATIONS", "4"))
KILLS = int(os.environ.get("ACME_PSRO_TEST_KILLS", "6"))
SECONDS_BETWEEN = (20.0, 60.0)


def commands() -> dict[int, str]:
    """Returns the command line of every process of this machine, by its number."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def of_run(directory: pathlib.Path) -> dict[int, str]:
    """Returns the processes of a run's programs, wherever they run."""
    # The mirrored path of the run's directory is part of each command.
    return {
        pid: line
        for pid, line in commands().items()
        if "acme_psro.agent_runs.program.child" in line and str(directory) in line
    }


def parent_of(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


class Run:
    """The command of a run, which may be killed and resumed."""

    def __init__(self, nodes: Nodes, directory: pathlib.Path) -> None:
        self._nodes, self.directory = nodes, directory
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "acme_psro", "run", "--game=kuhn_poker", "--oracle=launchpad"),
            *(
                f"--iterations={ITERATIONS}",
                "--actor_steps_per_response=6000",
                f"--output_dir={self.directory}",
            ),
            *("--executor=ray", f"--ray_address={self._nodes.address}"),
        ]
        if (self.directory / "config.json").exists():
            command.append("--resume")
        with open(self.directory.with_suffix(".out"), "ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    def output(self) -> str:
        return self.directory.with_suffix(".out").read_text()

    def has_given_up(self) -> bool:
        return self.output().rstrip().endswith("--resume continues the run.")

    def resume(self) -> None:
        self.process.wait(60)
        rows = tables.read(self.directory / "metrics.csv")
        self.process = self._start()
        print("resumed after iteration", len(rows) - 1, flush=True)


def kill(run: Run, nodes: Nodes, draw: random.Random) -> str:
    """Kills something of a run, and returns what it was; "" if there was nothing of that kind."""
    programs = sorted(of_run(run.directory))
    kind = draw.choice(["node", "actor", "program", "driver"])
    if kind == "node":
        nodes.remove(draw.choice(nodes.workers))
        nodes.add()
    elif kind == "driver":
        run.process.kill()
        run.resume()
    elif not programs:
        return ""
    else:
        pid = draw.choice(programs)
        try:
            os.kill(parent_of(pid) if kind == "actor" else pid, signal.SIGKILL)
        except (OSError, ValueError):
            return ""
    return kind


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with ray_nodes.cluster(num_nodes=2, connect=False) as found:
        yield found


def test_a_run_survives_kills_of_everything(nodes: Nodes, tmp_path: pathlib.Path) -> None:
    draw = random.Random(0)
    run = Run(nodes, tmp_path / "run")
    killed: list[str] = []
    rows: list[float] = []
    try:
        due = time.monotonic() + 20.0
        while run.process.poll() != 0:
            time.sleep(0.5)
            if run.process.poll() == 1 and run.has_given_up():
                # Four kills in a row without a checkpoint in between are too many for one program.
                killed.append("given up")
                run.resume()
            assert run.process.poll() in (None, 0), run.output()[-2000:]
            if len(killed) < KILLS and time.monotonic() > due:
                what = kill(run, nodes, draw)
                killed += [what] if what else []
                print(f"{time.strftime('%H:%M:%S')} killed: {what or 'nothing'}", flush=True)
                due = time.monotonic() + draw.uniform(*SECONDS_BETWEEN)
            known = [row["nash_conv"] for row in tables.read(run.directory / "metrics.csv")]
            # What was recorded stays: no kill takes an iteration back.
            assert known[: len(rows)] == rows
            rows = known
        assert len(rows) == ITERATIONS + 1
        print(killed, rows)
    finally:
        run.process.kill()
        run.process.wait()
    deadline = time.monotonic() + 60.0
    while of_run(run.directory) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert of_run(run.directory) == {}
