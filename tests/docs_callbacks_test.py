"""The guide's callbacks for experiment trackers, with fakes of the trackers."""

import pathlib
import runpy
import sys
from typing import Any

import pytest

import acme_psro
from acme_psro.system.tables import read_csv

EXAMPLE = pathlib.Path(__file__).parents[1] / "docs" / "examples" / "callbacks.py"


class Calls:
    """Stands for a tracker: keeps the name and arguments of every call."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> "Calls":
            self.made.append((name, *arguments, *named.values()))
            return self

        return call

    def of(self, name: str) -> list[Any]:
        return [call[1] for call in self.made if call[0] == name]


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


@pytest.mark.parametrize(("kind", "module"), [("WeightsAndBiases", "wandb"), ("MLflow", "mlflow")])
def test_trackers_get_the_configuration_and_every_row(
    example: dict[str, Any],
    kind: str,
    module: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker: Any = Calls()
    monkeypatch.setitem(sys.modules, module, tracker)
    callback = example[kind]()
    acme_psro.run("kuhn_poker", oracle="exact", iterations=2, output_dir=tmp_path, callbacks=[callback])
    logged = {row["iteration"]: row for row in tracker.of("log" if module == "wandb" else "log_metrics")}
    assert repr(list(logged.values())) == repr(read_csv(tmp_path / "metrics.csv"))
    if module == "wandb":
        assert tracker.made[0][:2] == ("init", "psro") and tracker.made[0][2]["game"] == "kuhn_poker"
        assert tracker.made[-1] == ("finish",)
    else:
        assert tracker.of("log_params")[0]["game"] == "kuhn_poker"
        (report,) = tracker.of("log_artifact")
        assert pathlib.Path(report).exists()
