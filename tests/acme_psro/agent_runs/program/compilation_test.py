"""Compiled programs of child processes lie beside the compiled games."""

from __future__ import annotations

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
