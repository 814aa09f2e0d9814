"""Tests of acme_psro.self_play_runs.remote: a run as one job, here and on a Ray cluster."""

import io
import pathlib
from collections.abc import Iterator

import pytest

from acme_psro.agent_runs.progress import Progress
from acme_psro.self_play_runs import remote
from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.self_play_runs.job import describe_failure, is_done, make_job
from acme_psro.self_play_runs.run import SelfPlayRun
from acme_psro.system.executors.base import Executor
from acme_psro.system.executors.choose import make_executor
from acme_psro.system.executors.local import LocalExecutor
from acme_psro.system.tables import Row, read_csv
from tests.acme_psro.system.executors import ray_nodes

# Nothing of it is compiled, so that a child is done as soon as it has imported everything.
_CONFIG = SelfPlayRunConfig("kuhn_poker", "tabular_mmd", steps=40, evaluate_every=20)


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.cluster() as found:
        yield found


def _untimed(directory: pathlib.Path) -> str:
    rows = read_csv(directory / "metrics.csv")
    return repr([{name: value for name, value in row.items() if "seconds" not in name} for row in rows])


def _carry_out(
    directory: pathlib.Path, executor: Executor, config: SelfPlayRunConfig = _CONFIG
) -> tuple[Row, str]:
    shown = io.StringIO()
    progress = Progress(config.steps, shown)
    return remote.carry_out(config, directory, executor, progress, poll_seconds=0.1), shown.getvalue()


def test_a_run_on_a_node_has_the_figures_and_files_of_one_here_and_goes_on(
    nodes: ray_nodes.Nodes, tmp_path: pathlib.Path
) -> None:
    executor = make_executor(nodes.placing())
    there, here = tmp_path / "there", tmp_path / "here"
    row, shown = _carry_out(there, executor)
    assert "0 updates" in shown and "40 updates" in shown
    run = SelfPlayRun(_CONFIG, here, print)
    assert row["exploitability"] == run.carry_out(None, Progress(40, io.StringIO()))["exploitability"]
    assert _untimed(there) == _untimed(here)
    for name in ("policies/player_0.npz", "policies/player_1.npz"):
        assert (there / name).read_bytes() == (here / name).read_bytes()
    assert {path.name for path in there.iterdir()} == {
        *(path.name for path in here.iterdir()),
        "finished.json",
    }
    assert is_done(_CONFIG, there)
    # Tables may learn for longer: the job goes on from the checkpoint that came back.
    longer = SelfPlayRunConfig("kuhn_poker", "tabular_mmd", steps=60, evaluate_every=20)
    assert not is_done(longer, there)
    row, shown = _carry_out(there, executor, longer)
    assert "resuming from 40 steps" in shown and row["gradient_steps"] == 60
    assert shown.count("NashConv") == 1


def test_a_run_that_is_done_is_shown_without_a_job(tmp_path: pathlib.Path) -> None:
    run = SelfPlayRun(_CONFIG, tmp_path, print)
    row = run.carry_out(None, Progress(40, io.StringIO()))
    assert not is_done(_CONFIG, tmp_path)
    (tmp_path / "finished.json").write_text("{}")
    again, shown = _carry_out(tmp_path, LocalExecutor())
    assert again["nash_conv"] == row["nash_conv"] and shown == ""


def test_a_refused_run_ends_in_the_words_of_its_child(tmp_path: pathlib.Path) -> None:
    config = SelfPlayRunConfig("kuhn_poker", "tabular_mmd", max_nodes=3)
    with pytest.raises(ValueError, match="kuhn_poker"):
        _carry_out(tmp_path, LocalExecutor(), config)


def test_a_run_that_tells_why_it_failed_is_not_launched_again() -> None:
    told = describe_failure("ended with code 1 before it was done: error: training has diverged.")
    assert told.is_final and told.message == "training has diverged."
    killed = describe_failure("was killed by SIGKILL")
    assert not killed.is_final and killed.message == "the self-play run was killed by SIGKILL"


def test_a_job_names_all_that_travels(tmp_path: pathlib.Path) -> None:
    job = make_job(_CONFIG, tmp_path)
    assert job.directory == tmp_path and job.marker == "finished.json"
    assert job.command[-1] == str(tmp_path)
