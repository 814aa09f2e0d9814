"""Tests of the cache of compiled code."""

from __future__ import annotations

import os
import pathlib

import pytest

from acme_psro.agent_runs.program import compilation

DIRECTORY = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(DIRECTORY, raising=False)
    return tmp_path / "cache"


def test_it_is_one_place_below_the_cache(cache: pathlib.Path) -> None:
    place = pathlib.Path(compilation.environment()[DIRECTORY])
    assert place.is_dir()
    assert cache in place.parents
    assert compilation.environment()[DIRECTORY] == str(place)


def test_the_users_choice_is_left_alone(monkeypatch: pytest.MonkeyPatch, cache: pathlib.Path) -> None:
    monkeypatch.setenv(DIRECTORY, "/elsewhere")
    assert compilation.environment() == {}
    assert not cache.exists()


def test_another_processor_has_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compilation.environment()[DIRECTORY]
    monkeypatch.setattr("platform.machine", lambda: "another")
    assert compilation.environment()[DIRECTORY] != before


def test_a_cache_that_cannot_be_written_is_no_error(cache: pathlib.Path) -> None:
    cache.write_text("a file")
    assert compilation.environment()[DIRECTORY].startswith(str(cache))


def test_the_oldest_are_removed_where_there_is_too_much(tmp_path: pathlib.Path) -> None:
    for age, name in enumerate(["new", "older", "oldest"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    compilation.prune(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 3
    compilation.prune(tmp_path, 299)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "older"]
