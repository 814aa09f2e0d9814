"""Test of a run over two hosts that share no directory: network namespaces, joined by one virtual link.

The second host has a `/tmp` of its own, so that it sees nothing of the run, whose directory is there.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from acme_psro.system.tables import read_csv

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).resolve().parents[4]
_PORT, _SECONDS = 6379, 900
_NETWORK = "10.213.77"
# Each host has one core, so that the learner and the actor of a program are on different ones.
_START = "ray start --num-cpus=1 --object-store-memory=100000000"
_FIRST = f"""
ip link set lo up
{_START} --head --node-ip-address={_NETWORK}.1 --port={_PORT} --include-dashboard=false || exit 70
touch "$1/first"
until [ -e "$1/second" ]; do sleep 0.2; done
python -m acme_psro run --game=kuhn_poker --oracle=program --program=ray --payoffs=sampled --iterations=1 \
  --actor_steps_per_response=3000 --gain_episodes=200 --payoff_episodes=200 \
  --ray_address={_NETWORK}.1:{_PORT} --output_dir="$1/run"
"""
_SECOND = f"""
ip link set lo up
mount -t tmpfs none /tmp || exit 71
[ -e "$1" ] && exit 72
{_START} --address={_NETWORK}.1:{_PORT} --node-ip-address={_NETWORK}.2 --block
"""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _can_make_hosts() -> bool:
    """Returns True if this process may make namespaces, and the package is found in them."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("unshare")):
        return False
    name = f"probe{os.getpid()}"
    has_made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if has_made:
        _run("ip", "netns", "delete", name)
    return has_made and not _ROOT.is_relative_to("/tmp")


@pytest.fixture
def names() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces with an address each, joined by a link."""
    if not _can_make_hosts():
        pytest.skip("network namespaces need root, ip and unshare, and a working tree outside of /tmp")
    both = (f"first{os.getpid()}", f"second{os.getpid()}")
    try:
        for name in both:
            _run("ip", "netns", "add", name)
        ends = [f"v{number}-{os.getpid()}" for number in (1, 2)]
        link = ("type", "veth", "peer", "name", ends[1], "netns", both[1])
        _run("ip", "link", "add", ends[0], "netns", both[0], *link)
        for number, (name, end) in enumerate(zip(both, ends, strict=True), start=1):
            _run("ip", "-n", name, "address", "add", f"{_NETWORK}.{number}/24", "dev", end)
            _run("ip", "-n", name, "link", "set", end, "up")
        yield both
    finally:
        for name in both:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _start(name: str, script: str, place: pathlib.Path, log: pathlib.Path) -> subprocess.Popen[bytes]:
    """Starts a host: a shell with its descendants, which end with it."""
    # Processes of a namespace of their own, because Ray looks for its processes on the whole machine.
    spaces = ("unshare", "--pid", "--fork", "--mount", "--mount-proc", "--ipc", "--kill-child")
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    quiet = {"PATH": path, "RAY_USAGE_STATS_ENABLED": "0", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(_ROOT)}
    with open(log, "wb") as printed:
        return subprocess.Popen(
            ["ip", "netns", "exec", name, *spaces, "bash", "-c", script, "host", str(place)],
            env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | quiet,
            cwd="/",
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until(path: pathlib.Path, word: str, host: subprocess.Popen[bytes], logs: pathlib.Path) -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and word in path.read_text(errors="replace")):
        assert host.poll() is None and time.monotonic() < deadline, _printed(logs)
        time.sleep(0.2)


def _printed(logs: pathlib.Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(logs.glob("*.log")))


def test_a_run_over_two_hosts_needs_no_shared_directory(
    names: tuple[str, str], tmp_path: pathlib.Path
) -> None:
    hosts = [_start(names[0], _FIRST, tmp_path, tmp_path / "first.log")]
    try:
        _wait_until(tmp_path / "first", "", hosts[0], tmp_path)
        hosts.append(_start(names[1], _SECOND, tmp_path, tmp_path / "second.log"))
        _wait_until(tmp_path / "second.log", "Ray runtime started", hosts[1], tmp_path)
        (tmp_path / "second").touch()
        assert hosts[0].wait(_SECONDS) == 0, _printed(tmp_path)
    finally:
        for host in hosts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)
            host.wait()
    rows = read_csv(tmp_path / "run" / "metrics.csv")
    assert [row["iteration"] for row in rows] == [0, 1]
    assert rows[-1]["env_steps"] >= 6000
    assert "(workers on the Ray cluster: 2)" in (tmp_path / "first.log").read_text()
