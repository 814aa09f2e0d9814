"""Files that callbacks write: the report that is renewed, and TensorBoard events."""

import pathlib
from typing import Any

import pytest
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from acme_psro.display import report
from acme_psro.population_runs import recording
from acme_psro.population_runs.callbacks import Callback, StopRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.events import IterationEnded, RunStopped
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.population_runs.recording import ReportWriter, TensorBoardWriter, hyperparameters
from acme_psro.population_runs.steps import begin
from acme_psro.population_runs.train import train_population
from acme_psro.system.tables import read_csv
from tests.acme_psro.display.events_test import read_events


class Renewals(Callback):
    """Keeps what the report says after each iteration; must come after the report's writer."""

    def __init__(self) -> None:
        self.iterations: list[int] = []

    def on_iteration(self, event: IterationEnded) -> None:
        path = event.run_dir / "report.html"
        if path.exists() and f"Still running: {event.iteration} iteration" in path.read_text():
            self.iterations.append(event.iteration)


def train(
    directory: pathlib.Path, *more: Callback, renewal_seconds: float = 10.0, warn: Any = pytest.fail
) -> ReportWriter:
    """Trains for three iterations with a report and with TensorBoard events."""
    config = PSROConfig("kuhn_poker", oracle="exact", payoffs="exact", iterations=3)
    run = prepare_run(config, directory, 0.0, pytest.fail, lambda nodes: None)
    writer = ReportWriter(run, warn, renewal_seconds)
    callbacks = [writer, TensorBoardWriter(lambda: writer.images), *more]
    train_population(run, directory, begin(run, directory, False, pytest.fail), callbacks)
    return writer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("runs")
    train(directory)
    return directory


@pytest.mark.parametrize(
    ("seconds", "share", "renewed"),
    # Drawing takes longer than an iteration, so that by default only the first of them has a report.
    [(600.0, 0.02, []), (0.0, 0.02, [0]), (0.0, 1e9, [0, 1, 2, 3])],
)
def test_the_report_is_renewed_as_often_as_its_share_of_the_time_allows(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    share: float,
    renewed: list[int],
) -> None:
    monkeypatch.setattr(recording, "_RENEWAL_SHARE", share)
    renewals = Renewals()
    writer = train(tmp_path, renewals, renewal_seconds=seconds)
    assert sorted(set(renewals.iterations)) == renewed
    assert writer.is_final
    final = (tmp_path / "report.html").read_text()
    assert "Still running" not in final and "Stopped after 3 iterations, as asked." in final


def test_reports_that_cannot_be_written_cost_one_warning(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise ValueError("no such backend")

    monkeypatch.setattr(report, "write_report", fail)
    warnings: list[str] = []
    writer = train(tmp_path, renewal_seconds=0.0, warn=warnings.append)
    assert not writer.is_final
    reason = "ValueError: no such backend"
    assert warnings == [f"the run is done, but there is no report: {reason}; --resume writes the report."]
    assert len(read_csv(tmp_path / "metrics.csv")) == 4


def test_the_report_names_the_reason_of_a_callback_that_stopped_the_run(tmp_path: pathlib.Path) -> None:
    class Enough(Callback):
        def on_iteration(self, event: IterationEnded) -> None:
            raise StopRun("good enough")

    train(tmp_path, Enough())
    text = (tmp_path / "report.html").read_text()
    assert "Stopped after 0 iterations: good enough; the run can be resumed." in text


@pytest.mark.parametrize(("error", "is_written"), [(RuntimeError("x"), True), (OSError(28, "full"), False)])
def test_there_is_a_report_of_a_run_that_failed_unless_it_had_no_room(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: Exception, is_written: bool
) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(recording.MetricsWriter, "on_iteration", fail)
    with pytest.raises(type(error)):
        train(tmp_path)
    assert (tmp_path / "report.html").exists() == is_written


def values_of(directory: pathlib.Path) -> list[tuple[int, summary_pb2.Summary.Value]]:
    return [
        (event.step, value) for event in read_events(directory / "events") for value in event.summary.value
    ]


def test_events_hold_every_row_of_metrics(trained: pathlib.Path) -> None:
    found: dict[int, dict[str, float]] = {}
    for step, value in values_of(trained):
        if value.WhichOneof("value") == "simple_value":
            found.setdefault(step, {})[value.tag] = value.simple_value
    rows = read_csv(trained / "metrics.csv")
    assert list(found) == [0, 1, 2, 3]
    for row in rows:
        known = {name: value for name, value in row.items() if value == value}
        assert found[int(row["iteration"])] == pytest.approx(known, rel=1e-6)


def test_events_hold_the_configuration_and_the_figures(trained: pathlib.Path) -> None:
    values = {value.tag: value for _, value in values_of(trained)}
    text = values["configuration"].tensor.string_val[0].decode()
    assert "| game | kuhn_poker |\n" in text and "| meta_solver | nash |\n" in text
    start, end = (
        plugin_data_pb2.HParamsPluginData.FromString(values[f"_hparams_/{tag}"].metadata.plugin_data.content)
        for tag in ("session_start_info", "session_end_info")
    )
    settings = start.session_start_info.hparams
    assert (settings["game"].string_value, settings["iterations"].number_value) == ("kuhn_poker", 3)
    assert end.session_end_info.status == 1
    images = [name for name, value in values.items() if value.WhichOneof("value") == "image"]
    page = (trained / "report.html").read_text()
    assert len(images) == page.count("<svg") >= 4
    assert {"convergence-time", "payoffs"} <= set(images)


def test_events_of_a_run_that_failed_say_so(tmp_path: pathlib.Path) -> None:
    class Interrupting(Callback):
        def on_iteration(self, event: IterationEnded) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Interrupting())
    *_, (_, last) = values_of(tmp_path)
    end = plugin_data_pb2.HParamsPluginData.FromString(last.metadata.plugin_data.content)
    assert (last.tag, end.session_end_info.status) == ("_hparams_/session_end_info", 2)


def test_nested_settings_get_names_with_dots() -> None:
    config = {"seed": 3, "device": {"enough": 0.97, "net": {"layers": [8, 8]}}, "agent": None, "fast": True}
    assert hyperparameters(config) == {
        "seed": 3,
        "device.enough": 0.97,
        "device.net.layers": "[8, 8]",
        "agent": "None",
        "fast": True,
    }


def test_a_run_that_fails_before_its_start_has_no_events(tmp_path: pathlib.Path) -> None:
    TensorBoardWriter().on_stop(RunStopped(tmp_path, None, RuntimeError("no room")))
    assert list(tmp_path.iterdir()) == []
