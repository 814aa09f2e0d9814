"""Compiled programs on disk."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from acme_psro.system import compiled_programs

DIRECTORY = "JAX_COMPILATION_CACHE_DIR"

# Compiles one function whose compilation takes longer than half a second, after another has been compiled.
_COMPILING = """
import logging, pathlib, sys
import jax, jax.numpy as jnp
jax.jit(lambda x: x + 1)(1).block_until_ready()
from acme_psro.system import compiled_programs
cache = pathlib.Path(sys.argv[1])
print(compiled_programs.keep_here(cache), compiled_programs.keep_here(cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
jax.jit(lambda x: jnp.sort(jnp.sin(x) @ x))(jnp.ones((8, 8))).block_until_ready()
"""


def _compile(cache: pathlib.Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != DIRECTORY}
    command = [sys.executable, "-c", _COMPILING, str(cache)]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    assert "Error" not in done.stderr
    return done.stdout


def test_a_second_process_reads_what_the_first_compiled(tmp_path: pathlib.Path) -> None:
    cache = tmp_path / "made" / "at need"
    first, second = (_compile(cache) for _ in range(2))
    # A second call finds the directory chosen.
    assert first.startswith("True False")
    assert "Persistent compilation cache hit for 'jit__lambda" not in first
    assert "Persistent compilation cache hit for 'jit__lambda" in second


def test_a_directory_chosen_by_the_user_is_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "theirs").mkdir()
    printed = _compile(tmp_path / "ours", **{DIRECTORY: str(tmp_path / "theirs")})
    assert printed.startswith("False False")
    assert not (tmp_path / "ours").exists()
    assert list((tmp_path / "theirs").iterdir())


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: pathlib.Path) -> None:
    cache = tmp_path / "a file"
    cache.write_text("in the way")
    assert _compile(cache).startswith("False False")
    assert cache.read_text() == "in the way"


def test_the_oldest_are_removed_where_there_is_too_much(tmp_path: pathlib.Path) -> None:
    for age, name in enumerate(["new", "older", "oldest"]):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    compiled_programs.prune(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 3
    compiled_programs.prune(tmp_path, 299)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "older"]
