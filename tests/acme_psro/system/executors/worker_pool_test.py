"""Tests of workers on a cluster: right answers whatever happens to workers and nodes."""

import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acme_psro.system.executors import worker_pool
from acme_psro.system.executors.pool_workers import WorkersLostError
from acme_psro.system.executors.worker_pool import WorkerPool
from tests.acme_psro.system.executors import pool_functions, ray_nodes

Open = Callable[..., WorkerPool]


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.cluster(num_nodes=3) as found:
        yield found


@pytest.fixture
def open_pool(nodes: ray_nodes.Nodes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A function that makes a pool, which is closed at the end."""
    monkeypatch.setattr(worker_pool, "_FIRST_PAUSE", 0.01)
    opened: list[WorkerPool] = []

    def make(function: Any, *arguments: Any, **options: Any) -> WorkerPool:
        placing = nodes.placing(cpus_per_response=options.pop("cpus", 1.0))
        opened.append(WorkerPool(placing, function, arguments, **options))
        return opened[-1]

    yield make
    for pool in opened:
        pool.close()


def _wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def _is_running(process: int) -> bool:
    state = pathlib.Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_requests_are_spread_over_nodes_and_each_gets_its_answer(open_pool: Open) -> None:
    pool = open_pool(pool_functions.make_scaling, 2.0)
    answers = [pool.submit(number, 0.5).result for number in range(6)]
    found = [answer(60) for answer in answers]
    assert [number for number, _, _ in found] == [0, 2, 4, 6, 8, 10]
    assert len({node for _, node, _ in found}) == 3
    assert pool.describe() == ["3 workers on 3 nodes of the Ray cluster"]
    # Workers stay: the same processes answer what comes later.
    assert pool.submit(5).result(60)[2] in {process for _, _, process in found}
    pool.close()
    _wait_until(lambda: not any(_is_running(process) for _, _, process in found))
    with pytest.raises(WorkersLostError, match="closed"):
        pool.submit(1).result(60)


def test_no_more_workers_than_asked_for(open_pool: Open) -> None:
    pool = open_pool(pool_functions.make_scaling, 3.0, most=1, ahead=2)
    found = [answer.result(60) for answer in [pool.submit(number) for number in range(4)]]
    assert [number for number, _, _ in found] == [0, 3, 6, 9]
    assert len({process for _, _, process in found}) == 1


def test_a_request_whose_worker_is_killed_is_asked_again(open_pool: Open, tmp_path: pathlib.Path) -> None:
    pool = open_pool(pool_functions.make_trouble, str(tmp_path), 2)
    assert pool.submit("killed").result(60) == 3
    processes = {call.read_text() for call in tmp_path.iterdir()}
    assert len(processes) == 3


def test_a_request_that_kills_all_its_workers_fails(open_pool: Open, tmp_path: pathlib.Path) -> None:
    pool = open_pool(pool_functions.make_trouble, str(tmp_path), 100)
    with pytest.raises(WorkersLostError, match=r"^workers on the Ray cluster were lost 4 times [^\n]*$"):
        pool.submit("killed").result(60)
    # The others are not harmed.
    with pytest.raises(ValueError, match=r"^no such thing: ask for another\.$"):
        pool.submit("error").result(60)


def test_a_worker_that_cannot_be_made_fails_all_requests(open_pool: Open) -> None:
    pool = open_pool(pool_functions.make_nothing)
    for _ in range(2):
        with pytest.raises(WorkersLostError, match=r"start: this worker cannot be made: take another\.$"):
            pool.submit().result(60)


def test_requests_fail_if_the_cluster_has_no_room(open_pool: Open) -> None:
    pool = open_pool(pool_functions.make_scaling, 1.0, cpus=64.0, patience=0.2)
    answer = pool.submit(1)
    assert pool.describe() in ([], ["waiting for room on the Ray cluster"])
    with pytest.raises(WorkersLostError, match=r"^the Ray cluster has had no worker for \d+ s: [^\n]*$"):
        answer.result(60)


def test_what_waits_for_an_answer_fails_when_the_pool_is_closed(
    open_pool: Open, tmp_path: pathlib.Path
) -> None:
    pool = open_pool(pool_functions.make_trouble, str(tmp_path), 100)
    answer = pool.submit("hangs")
    _wait_until(lambda: any(tmp_path.iterdir()))
    assert pool.describe() == ["1 worker on 1 node of the Ray cluster, 1 compiling for the first request"]
    pool.close()
    with pytest.raises(WorkersLostError, match="closed"):
        answer.result(60)
    _wait_until(lambda: not _is_running(int((tmp_path / "call_0").read_text())))


def test_what_a_lost_node_had_is_asked_again(
    open_pool: Open, nodes: ray_nodes.Nodes, tmp_path: pathlib.Path
) -> None:
    pool = open_pool(pool_functions.make_trouble, str(tmp_path), 1)
    answer = pool.submit("hangs")
    _wait_until(lambda: any(tmp_path.iterdir()))
    process = int((tmp_path / "call_0").read_text())
    (lost,) = [node for node in nodes.workers if _is_child(process, node)]
    nodes.remove(lost)
    try:
        assert answer.result(60) == 2
        assert os.getpid() != process
    finally:
        nodes.add()


def _is_child(process: int, node: Any) -> bool:
    """Returns True if a process was started by a node's own one."""
    raylets = {each.process.pid for group in node.all_processes.values() for each in group}
    parent = int(pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return parent in raylets
