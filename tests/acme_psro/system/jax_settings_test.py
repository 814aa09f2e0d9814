"""Tests of acme_psro.system.jax_settings."""

import os

import pytest

from acme_psro.system import jax_settings


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)


def test_only_variables_that_change_numbers_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL", "JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.setenv(name, "x")
    jax_settings.use_defaults()
    assert "JAX_ENABLE_X64" not in os.environ and "JAX_DEFAULT_PRNG_IMPL" not in os.environ
    assert os.environ["JAX_PLATFORMS"] == os.environ["JAX_COMPILATION_CACHE_DIR"] == "x"


@pytest.mark.parametrize("chosen", [None, "cpu", ""])
def test_the_usual_platforms_are_not_tried(chosen: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_settings.subprocess, "run", lambda *given, **more: pytest.fail("tried"))
    if chosen is not None:
        monkeypatch.setenv("JAX_PLATFORMS", chosen)
    jax_settings.check_platforms()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("JAX_PLATFORMS", "bogus", "bogus"),
        ("JAX_PLATFORM_NAME", "bogus", "bogus"),
        ("XLA_FLAGS", "--xla_bogus=1", "--xla_bogus"),
    ],
)
def test_a_platform_that_is_missing_is_one_line(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"JAX does not start with {name}={value}: .*{reason}") as refusal:
        jax_settings.check_platforms()
    assert "\n" not in str(refusal.value)


def test_a_choice_that_exists_is_allowed_and_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    jax_settings.check_platforms()
    monkeypatch.setattr(jax_settings.subprocess, "run", lambda *given, **more: pytest.fail("tried again"))
    jax_settings.check_platforms()
