"""Runs in compiled games: policies that are found again, runs without new policies, and regrets in rows."""

import contextlib
import functools
import io
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.population_runs.train import train_population
from acme_psro.solvers import SOLVERS, prd
from acme_psro.storage import checkpoint, run_directory
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config
from acme_psro.system.tables import read_csv


def train(
    directory: pathlib.Path, game: str, meta_solver: str, iterations: int
) -> tuple[Record, str, list[str]]:
    """Begins or resumes a run with exact responses; returns its record, outcome and warnings."""
    config = PSROConfig(game, oracle="exact", meta_solver=meta_solver, iterations=iterations)
    warnings: list[str] = []
    run = prepare_run(config, directory, 0.0, warnings.append, lambda nodes: None)
    restored = run_directory.resume(directory, run.form, pytest.fail) if directory.exists() else None
    write_config(directory, run.config.to_json())
    with contextlib.redirect_stdout(io.StringIO()):
        record = train_population(run, directory, restored)
    return record, run.outcome(record), warnings


def neupl(directory: pathlib.Path, iterations: int, **settings: Any) -> tuple[Record, str]:
    """Begins or resumes a run with exact members; returns its record and outcome."""
    config = PSROConfig("kuhn_poker", loop="neupl", oracle="exact", iterations=iterations, **settings)
    run = prepare_run(config, directory, 0.0, pytest.fail, lambda nodes: None)
    restored = run_directory.resume(directory, run.form, pytest.fail) if directory.exists() else None
    write_config(directory, run.config.to_json())
    with contextlib.redirect_stdout(io.StringIO()):
        record = train_population(run, directory, restored)
    return record, run.outcome(record)


def sizes(record: Record) -> list[int]:
    return [len(population) for population in record.state.populations]


def test_a_policy_that_is_found_again_is_not_added_again(tmp_path: pathlib.Path) -> None:
    """Projected replicator dynamics keep a little weight on cooperation, so that defection always gains."""
    record, outcome, warnings = train(tmp_path / "run", "matrix_pd", "prd", 20)
    assert (sizes(record), record.state.iteration, warnings) == ([2, 2], 1, [])
    assert "no oracle finds a new policy" in outcome and "\n" not in outcome
    assert record.metrics[-1]["nash_conv"] > 1e-7
    again, same, _ = train(tmp_path / "run", "matrix_pd", "prd", 20)
    # As text, because NaN does not equal itself.
    assert (sizes(again), same, repr(again.metrics)) == ([2, 2], outcome, repr(record.metrics))


def test_fictitious_play_gives_a_policy_that_is_found_again_more_weight(tmp_path: pathlib.Path) -> None:
    record, outcome, warnings = train(tmp_path / "run", "matrix_pd", "uniform", 6)
    assert (sizes(record), warnings) == ([7, 7], [])
    assert outcome == "Stopped after 6 iterations, as asked."
    values = [row["nash_conv"] for row in record.metrics]
    assert values == sorted(values, reverse=True) and values[-1] < values[1] / 2


@pytest.mark.parametrize("meta_solver", ["nash", "regret_matching", "max_entropy_nash"])
def test_policies_of_a_population_differ(tmp_path: pathlib.Path, meta_solver: str) -> None:
    record, _, warnings = train(tmp_path / "run", "kuhn_poker", meta_solver, 30)
    for population in record.state.populations:
        tables = [policy.table for policy in population]
        assert not any(
            np.allclose(one, other, atol=1e-12) for k, one in enumerate(tables) for other in tables[:k]
        )
    assert warnings == []
    assert record.metrics[-1]["nash_conv"] < 1e-3
    rows = read_csv(tmp_path / "run" / "metrics.csv")
    assert all(0.0 <= row["meta_regret"] < 1e-3 for row in rows)


def test_a_poor_answer_is_reported_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLVERS, "prd", functools.partial(prd.solve, iterations=1))
    record, _, (warning,) = train(tmp_path / "run", "kuhn_poker", "prd", 4)
    assert warning.startswith("iteration 1: the answer of meta-solver prd is no Nash equilibrium")
    regret = record.metrics[1]["meta_regret"]
    assert regret > 0.05 and f"a player gains {regret:.3g} by one of its own policies" in warning


def test_rows_of_a_run_that_an_earlier_version_began(tmp_path: pathlib.Path) -> None:
    """They have no regret, and the run is resumed all the same."""
    directory = tmp_path / "run"
    begun, _, _ = train(directory, "kuhn_poker", "nash", 2)
    old = Record(
        begun.state,
        [{name: value for name, value in row.items() if name != "meta_regret"} for row in begun.metrics],
        begun.meta_strategies,
    )
    form = prepare_run(
        PSROConfig("kuhn_poker", oracle="exact", iterations=2), directory, 0.0, pytest.fail, print
    ).form
    checkpoint.save(directory / "checkpoints", old, form)  # type: ignore[arg-type]
    record, _, _ = train(directory, "kuhn_poker", "nash", 3)
    rows = read_csv(directory / "metrics.csv")
    assert [np.isnan(row["meta_regret"]) for row in rows] == [True, True, True, False]
    assert [row["nash_conv"] for row in rows[:3]] == [row["nash_conv"] for row in begun.metrics]
    assert record.state.iteration == 3


@pytest.mark.parametrize("meta_solver", ["nash", "uniform"])
def test_exact_members_end_when_they_change_no_more(tmp_path: pathlib.Path, meta_solver: str) -> None:
    settings: dict[str, Any] = {"meta_solver": meta_solver, "neupl": {"population_size": 8}}
    record, outcome = neupl(tmp_path / "run", 100, **settings)
    # Members settle from below, at least one in each epoch.
    assert record.state.iteration <= 8
    # Another epoch, which a resumed run tries, finds the same members.
    again, same = neupl(tmp_path / "run", 100, **settings)
    assert (again.state.iteration, same) == (record.state.iteration, outcome)
    assert repr(again.metrics) == repr(record.metrics)
    is_solved = record.metrics[-1]["exploitability"] <= 1e-7
    assert outcome.startswith("Converged after" if is_solved else "Stopped after") and is_solved == (
        meta_solver == "nash"
    )


def test_an_equilibrium_of_members_that_still_change_is_no_end(tmp_path: pathlib.Path) -> None:
    """The sinks alone are an equilibrium of matching pennies."""
    config = PSROConfig("matrix_mp", loop="neupl", oracle="exact", neupl={"population_size": 4})
    run = prepare_run(config, tmp_path, 0.0, pytest.fail, lambda nodes: None)
    with contextlib.redirect_stdout(io.StringIO()):
        record = train_population(run, tmp_path, None)
    assert record.metrics[0]["exploitability"] == pytest.approx(0.0, abs=1e-9)
    assert record.state.iteration >= 1


def test_members_that_are_ended_in_an_equilibrium_may_still_change(tmp_path: pathlib.Path) -> None:
    whole, _ = neupl(tmp_path / "whole", 100)
    solved = [row["iteration"] for row in whole.metrics if row["exploitability"] <= 1e-7]
    _, outcome = neupl(tmp_path / "run", int(solved[0]))
    assert outcome == (
        f"Stopped after {solved[0]:.0f} iterations, as asked. By now no player gains more than 1e-07 by an "
        "exact best response; members may still change."
    )
