"""Tests of population training: runs that are killed and resumed, and the files that are tidied up."""

import contextlib
import dataclasses
import pathlib

from acme_psro.commands import evaluate
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.metrics import is_known
from acme_psro.population_runs.prepare import prepare_run
from acme_psro.population_runs.train import train_population
from acme_psro.psro import loop
from acme_psro.storage import run_directory
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config
from tests.acme_psro.commands.launching import contents
from tests.acme_psro.population_runs.fakes import GAME, Killed, World, train, untimed


def test_a_run_killed_anywhere_goes_on_as_if_nothing_had_been(world: World, tmp_path: pathlib.Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = train(whole)
    # The run is killed once at every call of programs or workers that differs from the calls before.
    world.mortal, deaths = True, 0
    world.seen.clear()
    while True:
        try:
            found = train(killed)
            break
        except Killed:
            deaths += 1
    # Initial payoffs, five; two programs, two gains, payoffs; and programs and gains of the last mixture.
    assert deaths == 5 + (1 + 2 + 5) + (1 + 2)
    assert [repr(row) for row in found] == [repr(row) for row in expected]
    kept = {path.relative_to(whole): path.read_bytes() for path in (whole / "checkpoints").rglob("*.npz")}
    assert {path: (killed / path).read_bytes() for path in kept} == kept
    assert {path.name for path in killed.rglob("*.npz")} == {path.name for path in whole.rglob("*.npz")}


def test_a_longer_run_is_one_that_was_gone_on_with(world: World, tmp_path: pathlib.Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    expected = train(once, 2)
    train(twice, 1)
    exploiters = sorted((twice / "responses").rglob("policy.npz"), key=lambda path: path.stat().st_mtime_ns)
    assert [repr(row) for row in train(twice, 2)] == [repr(row) for row in expected]
    assert len(list((twice / "responses").iterdir())) == 3
    # The exploiters of the shorter run's last mixture are stored in the directory in which the next iteration
    # looks for its responses.
    assert exploiters[-1].parents[2].name in {path.name for path in (once / "responses").iterdir()}
    before = contents(twice / "checkpoints")
    asked = len(world.seen)
    train(twice, 2)
    assert (contents(twice / "checkpoints"), len(world.seen)) == (before, asked)


def test_what_programs_leave_is_removed_once_their_policies_are_kept(
    finished: tuple[pathlib.Path, str],
) -> None:
    places = sorted((finished[0] / "responses").iterdir(), key=lambda path: path.stat().st_ctime_ns)
    assert len(places) == 4
    # The exploiters of the last mixture are those of an iteration that may follow.
    following = "".join(f"{number:08x}" for number in loop.iteration_key(0, 3).tolist())
    for place in places:
        for player in ("player_0", "player_1"):
            left = {str(path.relative_to(place / player)) for path in (place / player).rglob("*")}
            needed = {"opponents.sha256", "run"} | {
                f"run/{name}" for name in ("config.json", "learner.csv", "policy.npz", "program.log")
            }
            assert needed <= left
            assert (left == needed) == (place.name != following)


def test_evaluating_a_run_under_way_tells_of_the_last_mixture_that_is_known(
    world: World, tmp_path: pathlib.Path
) -> None:
    world.mortal = True
    for _ in range(20):
        with contextlib.suppress(Killed):
            train(tmp_path, iterations=2)
        if (tmp_path / "metrics.csv").exists() and len(untimed(tmp_path)) == 2:
            break
    read = run_directory.read(tmp_path)
    assert [is_known(row) for row in read.record.metrics] == [True, False]
    figures = evaluate.describe(read)
    assert (figures["iterations"], figures["populations"]) == (0, [1, 1])
    assert figures["nash_conv"] == untimed(tmp_path)[0]["nash_conv"]
    beginning = dataclasses.replace(read.record.state, iteration=0)
    unknown = Record(beginning, read.record.metrics[1:], read.record.meta_strategies[1:])
    assert evaluate.describe(read._replace(record=unknown))["nash_conv"] is None


def test_programs_in_a_compiled_game_leave_as_little(world: World, tmp_path: pathlib.Path) -> None:
    config = PSROConfig(GAME, oracle="launchpad", iterations=2)
    kind = prepare_run(config, tmp_path, 0.0, print, print)
    write_config(tmp_path, kind.config.to_json())
    record = train_population(kind, tmp_path, None)
    assert record.metrics[2]["gap_0"] < 1e-9 and record.metrics[2]["nash_conv"] > 0
    left = {path.name for path in (tmp_path / "responses").rglob("*") if path.is_file()}
    assert left == {"opponents.sha256", "config.json", "learner.csv", "policy.npz", "program.log"}
