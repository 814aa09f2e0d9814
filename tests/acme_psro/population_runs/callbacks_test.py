"""Callbacks: the order of events, and runs that callbacks cannot harm."""

import pathlib
from collections.abc import Callable, Sequence

import pytest

import acme_psro
from acme_psro.population_runs.callbacks import Callback, Callbacks, StopRun
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.events import (
    Event,
    IterationEnded,
    IterationStarted,
    ResponseFound,
    RunEnded,
    RunStarted,
    RunStopped,
)
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.population_runs.recording import ReportWriter
from acme_psro.population_runs.steps import begin
from acme_psro.population_runs.train import train_population
from acme_psro.storage import checkpoint
from acme_psro.storage.record import Format, Record
from acme_psro.system.tables import read_csv
from tests.acme_psro.population_runs.fakes import World, untimed

METHODS = [name for name in vars(Callback) if name.startswith("on_")]


class Recorder(Callback):
    """Keeps all events in the order in which it is told of them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __getattribute__(self, name: str) -> object:
        return self.events.append if name in METHODS else super().__getattribute__(name)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Failing(Callback):
    """Raises an exception whenever it is told of one kind of event, and counts its calls."""

    def __init__(self, method: str, error: BaseException, iteration: int | None = None) -> None:
        self.calls = 0
        self._error = error
        self._iteration = iteration
        setattr(self, method, self._fail)

    def _fail(self, event: Event) -> None:
        self.calls += 1
        if self._iteration in (None, getattr(event, "iteration", None)):
            raise self._error


def train(
    directory: pathlib.Path,
    callbacks: Sequence[Callback] = (),
    iterations: int = 3,
    resume: bool = False,
    warn: Callable[[str], None] = pytest.fail,
) -> Record:
    """Begins or resumes an exact run in Kuhn poker."""
    config = PSROConfig("kuhn_poker", oracle="exact", payoffs="exact", iterations=iterations)
    run = prepare_run(config, directory, 0.0, pytest.fail, lambda nodes: None)
    return train_population(run, directory, begin(run, directory, resume, pytest.fail), callbacks, warn)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """Returns the metrics of three iterations without callbacks."""
    directory = tmp_path_factory.mktemp("runs")
    train(directory)
    return untimed(directory)


def same(directory: pathlib.Path, rows: list[dict[str, float]]) -> bool:
    """Returns True if a run's metrics are these."""
    return repr(untimed(directory)) == repr(rows)


def test_events_come_in_order(tmp_path: pathlib.Path) -> None:
    recorder = Recorder()
    train(tmp_path, [recorder])
    iteration = ["IterationStarted", "ResponseFound", "ResponseFound", "IterationEnded"]
    names = recorder.names()
    assert names[:14] == ["RunStarted", "IterationEnded", *(3 * iteration)]
    assert names[14:] in (["RunEnded"], ["IterationEnded", "RunEnded"])
    start, first, *_, end = recorder.events
    assert isinstance(start, RunStarted) and isinstance(end, RunEnded)
    assert isinstance(first, IterationEnded)
    assert (start.record, start.iterations, start.config["game"]) == (None, 3, "kuhn_poker")
    assert (first.before, first.iteration, first.row["iteration"]) == (None, 0, 0)
    assert end.outcome == "Stopped after 3 iterations, as asked."
    assert {event.run_dir for event in recorder.events} == {tmp_path}


def test_events_hold_what_came_before_and_what_was_found(tmp_path: pathlib.Path) -> None:
    recorder = Recorder()
    record = train(tmp_path, [recorder])
    ended = [event for event in recorder.events if isinstance(event, IterationEnded)]
    assert [event.before for event in ended[1:]] == [event.record for event in ended[:-1]]
    assert ended[-1].record is record
    started = [event for event in recorder.events if isinstance(event, IterationStarted)]
    assert [(event.iteration, event.record) for event in started] == [
        (event.iteration, event.before) for event in ended[1:4]
    ]
    found = [event for event in recorder.events if isinstance(event, ResponseFound)]
    assert [(event.iteration, event.player) for event in found] == [(i, p) for i in (1, 2, 3) for p in (0, 1)]
    # A response gains what the row of the mixture says that there was to gain.
    for event in found:
        row = record.metrics[event.iteration - 1]
        assert event.response.gain == pytest.approx(row[f"gain_{event.player}"], abs=1e-12)


def test_an_iteration_is_stored_before_callbacks_hear_of_it(tmp_path: pathlib.Path) -> None:
    seen = []

    class Reader(Callback):
        def on_iteration(self, event: IterationEnded) -> None:
            result = acme_psro.load_run(event.run_dir)
            seen.append(
                (result.metrics[-1]["iteration"], read_csv(event.run_dir / "metrics.csv")[-1]["iteration"])
            )

    train(tmp_path, [Reader()])
    assert seen[:4] == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_a_resumed_run_begins_with_its_record(tmp_path: pathlib.Path) -> None:
    before = train(tmp_path, iterations=2)
    recorder = Recorder()
    train(tmp_path, [recorder], iterations=3, resume=True)
    start, *_ = recorder.events
    assert isinstance(start, RunStarted) and start.record is not None
    assert repr(start.record.metrics) == repr(before.metrics)
    assert recorder.names()[:2] == ["RunStarted", "IterationStarted"]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "on_stop"])
def test_a_callback_that_fails_is_told_nothing_more_and_costs_nothing(
    method: str, whole: list[dict[str, float]], tmp_path: pathlib.Path
) -> None:
    warnings: list[str] = []
    failing, after = Failing(method, KeyError("loss")), Recorder()
    train(tmp_path, [failing, after], warn=warnings.append)
    assert failing.calls == 1
    (warning,) = warnings
    assert warning.startswith(f"Failing.{method} failed, and is told no further events: KeyError: 'loss' (")
    assert f"{pathlib.Path(__file__).name}, line " in warning
    assert same(tmp_path, whole)
    assert after.names()[-1] == "RunEnded"


@pytest.mark.parametrize("method", ["on_start", "on_iteration_start", "on_response", "on_iteration"])
def test_a_callback_may_stop_the_run_in_good_order(
    method: str, whole: list[dict[str, float]], tmp_path: pathlib.Path
) -> None:
    before, after = Recorder(), Recorder()
    iteration = None if method == "on_start" else 2
    record = train(tmp_path, [before, Failing(method, StopRun("enough"), iteration), after])
    assert record.state.iteration == (iteration or 0)
    for recorder in (before, after):
        *_, stopped = recorder.events
        assert isinstance(stopped, RunStopped)
        assert (stopped.record, str(stopped.error)) == (record, "enough")
        assert recorder.names().count("IterationEnded") == record.state.iteration + 1
    train(tmp_path, resume=True)
    assert same(tmp_path, whole)


@pytest.mark.parametrize("method", ["on_start", "on_iteration_start", "on_response", "on_iteration"])
def test_an_interrupted_run_is_told_of_it_and_can_be_resumed(
    method: str, whole: list[dict[str, float]], tmp_path: pathlib.Path
) -> None:
    recorder = Recorder()
    iteration = None if method == "on_start" else 2
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, [Failing(method, KeyboardInterrupt(), iteration), recorder])
    *_, stopped = recorder.events
    assert isinstance(stopped, RunStopped) and isinstance(stopped.error, KeyboardInterrupt)
    assert (stopped.record is None) == (method == "on_start")
    train(tmp_path, resume=method != "on_start")
    assert same(tmp_path, whole)


def test_a_checkpoint_that_cannot_be_written_ends_the_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoint.save

    def fail_later(directory: pathlib.Path, record: Record, form: Format) -> None:
        if record.state.iteration == 2:
            raise OSError(28, "No space left on device")
        save(directory, record, form)

    monkeypatch.setattr(checkpoint, "save", fail_later)
    recorder = Recorder()
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path, [recorder])
    assert recorder.names()[-1] == "RunStopped"
    # Nobody hears of an iteration that is not stored.
    assert recorder.names().count("IterationEnded") == 2


def test_a_report_follows_an_interrupted_run(tmp_path: pathlib.Path) -> None:
    config = PSROConfig("kuhn_poker", oracle="exact", payoffs="exact", iterations=3)
    run = prepare_run(config, tmp_path, 0.0, pytest.fail, lambda nodes: None)
    report = ReportWriter(run, pytest.fail)
    interrupting = Failing("on_response", KeyboardInterrupt(), 2)
    with pytest.raises(KeyboardInterrupt):
        train_population(run, tmp_path, begin(run, tmp_path, False, pytest.fail), [interrupting, report])
    assert "Stopped after 1 iteration; the run can be resumed." in (tmp_path / "report.html").read_text()
    assert not report.is_final


def test_rows_that_are_completed_later_are_reported_when_they_are(
    world: World, tmp_path: pathlib.Path
) -> None:
    """Runs with sampled payoffs know the gains of a mixture from the next iteration's responses."""
    config = PSROConfig(
        "kuhn_poker",
        oracle="launchpad",
        payoffs="sampled",
        iterations=2,
        simulation={"payoff_episodes": 10, "extra_payoff_episodes": 40, "gain_episodes": 40},
    )
    recorder = Recorder()
    run = prepare_run(config, tmp_path, 0.0, pytest.fail, print)
    record = train_population(run, tmp_path, begin(run, tmp_path, False, pytest.fail), [recorder])
    ended = [event for event in recorder.events if isinstance(event, IterationEnded)]
    changed = [[row["iteration"] for row in event.changed_rows()] for event in ended]
    assert changed == [[0], [0, 1], [1, 2], [2]]
    assert [event.is_repeated for event in ended] == [False, False, False, True]
    completed = ended[2].new_values(ended[2].changed_rows()[0])
    assert {"nash_conv", "gain_0", "gain_1_stderr"} <= completed.keys() and "episodes" not in completed
    assert ended[1].learner_metrics() == {"learner_0/loss": 0.5, "learner_1/loss": 0.5}
    # All values that were reported make up the final table.
    table: dict[float, dict[str, float]] = {}
    for event in ended:
        for row in event.changed_rows():
            table.setdefault(row["iteration"], {}).update(event.new_values(row))
    assert repr([table[i] for i in range(3)]) == repr(record.metrics)


def test_essential_callbacks_come_first() -> None:
    told: list[str] = []

    class Named(Callback):
        def __init__(self, name: str) -> None:
            self.on_end = lambda event: told.append(name)  # type: ignore[method-assign]

    Callbacks([Named("first")], [Named("second"), Named("third")], pytest.fail).on_end(None)  # type: ignore[arg-type]
    assert told == ["first", "second", "third"]
