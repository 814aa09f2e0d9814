"""Tests of rates computed from written tables, and of a real program that is measured and ended."""

import math
import os
import pathlib
import sys
from collections.abc import Callable

import psutil
import pytest

from acme_psro.system import tables
from experiments.benchmarks.scaling import programs
from experiments.benchmarks.scaling.programs import Sightings, Windows, make_config


@pytest.fixture
def tell(tmp_path: pathlib.Path) -> Callable[..., None]:
    """Function `(name, at, **counts)` that appends a row to a program's table at a given time."""
    known: dict[str, tables.Table] = {}

    def write(name: str, at: float, **counts: float) -> None:
        path = tmp_path / f"{name}.csv"
        known.setdefault(name, tables.Table(path, "actor_steps")).write(counts)
        os.utime(path, (at, at))

    return write


def test_rates_are_slopes_from_a_time_on(tmp_path: pathlib.Path, tell: Callable[..., None]) -> None:
    seen = Sightings(tmp_path, 2)
    for at, first, second, gradient in ((90, 100, 90, 1), (100, 1000, 940, 10), (110, 2000, 1940, 30)):
        tell("actor", at, actor_steps=first)
        tell("actor_1", at + 1, actor_steps=second + 160)
        tell("learner", at, actor_steps=0, learner_gradient_steps=gradient)
        seen.glance()
        # Nothing has been written since.
        seen.glance()
    # Both actors tell of the same counts: 100 a second from 100 on, whoever is asked.
    assert seen.rate("actor", "actor_steps", 100.0) == pytest.approx(100.0)
    assert seen.rate("learner", "learner_gradient_steps", 100.0) == pytest.approx(2.0)
    with pytest.raises(RuntimeError, match="the learner has written less than two rows"):
        seen.rate("learner", "learner_gradient_steps", 105.0)


def test_program_is_under_way_when_all_that_work_have_said_so(
    tmp_path: pathlib.Path, tell: Callable[..., None]
) -> None:
    seen = Sightings(tmp_path, 2)
    tell("actor", 100, actor_steps=10)
    seen.glance()
    assert not seen.is_under_way(learns=False)
    tell("actor_1", 101, actor_steps=20)
    seen.glance()
    assert seen.is_under_way(learns=False)
    assert not seen.is_under_way(learns=True)
    tell("learner", 102, actor_steps=20, learner_gradient_steps=4)
    seen.glance()
    assert seen.is_under_way(learns=True)


def test_programs_never_end_by_themselves() -> None:
    config = make_config("crossq", "kuhn_poker", 1, 4, 7, 3, learns=True)
    assert (config.environment, config.player, config.seed) == ("openspiel:kuhn_poker", 1, 7)
    assert (config.num_actors, config.games_per_actor, config.distributed) == (3, 4, True)
    assert config.evaluate_every == config.actor_steps >= 10**9
    assert config.replay_settings == {}
    apart = make_config("crossq", "kuhn_poker", 1, 4, 7, 3, learns=False).replay_settings
    assert apart["min_replay_size"] == apart["max_replay_size"]
    assert apart["samples_per_insert_tolerance_rate"] == math.inf


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
@pytest.mark.parametrize("learns", [True, False])
def test_real_program_is_watched_and_nothing_is_left(
    learns: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    config = make_config("crossq", "kuhn_poker", 0, 4, 0, 2, learns)
    directory, before = tmp_path / "run", set(psutil.pids())
    found = programs.watch(config, learns, directory, Windows(1.0, 12.0), {})
    assert found.env_steps > 0
    assert (found.gradient_steps > 0) is learns
    assert math.isnan(found.start_seconds) is not learns
    left = [each for each in psutil.process_iter(["environ"]) if each.pid not in before]
    assert [each for each in left if str(tmp_path) in str((each.info["environ"] or {}).get("TMPDIR"))] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_program_that_is_refused_says_why(tmp_path: pathlib.Path) -> None:
    config = make_config("crossq", "kuhn_poker", 5, 4, 0, 1, learns=True)
    with pytest.raises(
        RuntimeError, match=r"the program ended with code 2: error: kuhn_poker\(\) has no player 5"
    ):
        programs.watch(config, True, tmp_path / "run", Windows(1.0, 12.0), {})
