"""Compiled programs of learners on disk, beside the compiled games."""

from __future__ import annotations

from acme_psro.system import compiled_programs


def environment() -> dict[str, str]:
    """Returns environment variables that make JAX in a child process store compiled code on this machine."""
    from acme_psro.games import cache

    return compiled_programs.environment(cache.directory() / "xla")
