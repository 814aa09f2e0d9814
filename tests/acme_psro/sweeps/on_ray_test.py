"""Tests of sweeps on a Ray cluster of two nodes on this machine."""

import io
import pathlib
from collections.abc import Iterator

import pytest

from acme_psro.sweeps.cells import make_cells
from acme_psro.sweeps.run import Ended, carry_out, opened_sweep
from acme_psro.system.executors.base import Executor
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.local import LocalExecutor
from acme_psro.system.tables import read_csv
from tests.acme_psro.sweeps.files import SOLVERS, read
from tests.acme_psro.system.executors import ray_nodes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.cluster(num_nodes=2) as found:
        yield found


def _carry_out(tmp_path: pathlib.Path, name: str, executor: Executor) -> Ended:
    file = read(tmp_path, SOLVERS.replace("seeds: [0, 1]", "seeds: [0]"))
    with opened_sweep(file, make_cells(file), tmp_path / name, False) as sweep:
        return carry_out(sweep, executor, 1, print, io.StringIO())


def test_a_sweep_on_a_cluster_has_the_results_of_one_on_this_machine(
    nodes: ray_nodes.Nodes, tmp_path: pathlib.Path
) -> None:
    executor = make_executor(nodes.placing())
    assert executor.room(1) == 2
    there = _carry_out(tmp_path, "there", executor)
    here = _carry_out(tmp_path, "here", LocalExecutor())
    assert there.failed == here.failed == {} and there.has_report
    # The same final values, but for the seconds.
    assert [line.rsplit("  ", 1)[0].split() for line in there.lines[:4]] == [
        line.rsplit("  ", 1)[0].split() for line in here.lines[:4]
    ]
    for cell in ("nash", "uniform", "prd"):
        rows = [
            [
                {name: value for name, value in row.items() if "seconds" not in name}
                for row in read_csv(tmp_path / place / cell / "seed_0" / "metrics.csv")
            ]
            for place in ("there", "here")
        ]
        assert repr(rows[0]) == repr(rows[1])
        files = [
            sorted(path.name for path in (tmp_path / place / cell / "seed_0").iterdir())
            for place in ("there", "here")
        ]
        assert files[0] == files[1]
