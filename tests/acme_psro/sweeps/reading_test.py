"""Tests of acme_psro.sweeps.reading and yaml_values."""

import pathlib
import re

import pytest

from acme_psro.sweeps.reading import SweepFileError, read_sweep
from tests.acme_psro.sweeps.files import SOLVERS, read, write


def test_a_file_has_a_base_a_grid_and_seeds(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, SOLVERS)
    assert file.kind.command == "run"
    assert file.base == {"game": "kuhn_poker", "oracle": "exact", "iterations": 3}
    assert file.grid == {"meta_solver": ["nash", "uniform", "prd"]}
    assert file.seeds == (0, 1)
    assert (file.sources["oracle"].line, file.sources["meta_solver"].line) == (3, 6)


def test_settings_of_groups_are_named_or_nested(tmp_path: pathlib.Path) -> None:
    text = """
base:
  game: kuhn_poker
  tolerance: 1e-3
  device: {gradient_steps: 20, num_envs: 32}
  agent_settings.learning_rate: 1e-2
  agent_settings.critic_hidden_sizes: [16, 16]
grid:
  device.batch_size: [16, 32]
  agent_settings:
    discount: [1, .inf]
"""
    file = read(tmp_path, text)
    assert file.base == {
        "game": "kuhn_poker",
        "tolerance": 0.001,
        "device.gradient_steps": 20,
        "device.num_envs": 32,
        "agent_settings.learning_rate": 0.01,
        "agent_settings.critic_hidden_sizes": [16, 16],
    }
    assert file.grid == {"device.batch_size": [16, 32], "agent_settings.discount": [1, "inf"]}
    assert file.seeds == (0,)
    assert file.kind.arguments({**file.base, "symmetric": True})[1:] == [
        "--tolerance=0.001",
        "--set=device.gradient_steps=20",
        "--set=device.num_envs=32",
        "--set=agent_settings.learning_rate=0.01",
        "--set=agent_settings.critic_hidden_sizes=[16, 16]",
        "--symmetric=true",
    ]


BASE = "base:\n  game: kuhn_poker\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("bases:\n  game: kuhn_poker\n", 1, "bases: there is no such key; did you mean base?"),
        (BASE, 1, "grid is missing"),
        ("[1, 2]", 1, "the file must be a mapping"),
        (BASE + "grid: [nash]", 3, "grid must be a mapping"),
        (
            BASE + "grid:\n  meta_solvers: [nash]",
            4,
            "meta_solvers: there is no such key in grid; did you mean",
        ),
        (BASE + "grid:\n  device.: [1]", 4, "device.: there is no such key in grid"),
        (BASE + "grid:\n  things.size: [1]", 4, "things.size: there is no such key in grid"),
        (
            BASE + "  seeds: [0]\ngrid:\n  loop: [psro]",
            3,
            "seeds: there is no such key in base; seeds are a list",
        ),
        (BASE + "grid:\n  seed: [0]", 4, "seed: there is no such key in grid; seeds are a list in grid"),
        (BASE + "grid:\n  meta_solver: nash", 4, "meta_solver: it must be a list of values"),
        (BASE + "grid:\n  meta_solver: []", 4, "meta_solver: the list is empty"),
        (
            BASE + "grid:\n  meta_solver:\n  - nash\n  - prd\n  - nash",
            7,
            'meta_solver: "nash" is in the list twice',
        ),
        (BASE + "grid:\n  meta_solver: [1]", 4, "meta_solver: it must be text, not 1."),
        (BASE + "grid:\n  iterations: [two]", 4, 'iterations: it must be a whole number, not "two".'),
        (BASE + "grid:\n  iterations: [true]", 4, "iterations: it must be a whole number, not true."),
        (BASE + "grid:\n  tolerance: [small]", 4, 'tolerance: it must be a number, not "small".'),
        (BASE + "grid:\n  symmetric: [1]", 4, "symmetric: it must be true or false, not 1."),
        (BASE + "grid:\n  agent: [null]", 4, "agent: it has no value"),
        (BASE + "grid:\n  agent: [2026-01-01]", 4, "2026-01-01 is a date: put texts in quotes."),
        (BASE + "grid:\n  agent: [!!python/object:os.system {}]", 4, "could not determine a constructor"),
        (BASE + "grid:\n  game: [leduc_poker]", 4, "game: it is in base too, in line 2."),
        (BASE + "  game: leduc_poker\ngrid:\n  loop: [psro]", 3, "game: it is given already in line 2."),
        (
            BASE + "  device.num_envs: 1\n  device: {num_envs: 2}\ngrid:\n  seeds: [0]",
            4,
            "device.num_envs: it is given already in line 3.",
        ),
        (BASE + "grid:\n  seeds: []", 4, "seeds: it must be a list with at least one number"),
        (BASE + "grid:\n  seeds: 3", 4, "seeds: it must be a list with at least one number"),
        (
            BASE + "grid:\n  seeds: [0,\n    -1]",
            5,
            "seeds: a seed is a whole number from 0 to 4294967295, not -1.",
        ),
        (BASE + "grid:\n  seeds: [0, 1.5]", 4, "seeds: a seed is a whole number"),
        (BASE + "grid:\n  seeds: [1, 1]", 4, "seeds: 1 is in the list twice."),
        (BASE + "grid:\n  seeds: [0\n", 5, "this is not YAML"),
        (BASE + "grid: &a\n  seeds: [*a]", 4, "*a: references are not taken"),
        (BASE + "grid:\n  1: [2]", 4, "a key of grid must be text, not 1."),
        (
            "command: agent\n" + BASE + "grid:\n  seeds: [0]",
            1,
            "command: command must be one of run, neupl, self-play",
        ),
        ("import_module: 3\n" + BASE + "grid:\n  seeds: [0]", 1, "import_module: it must be a list of names"),
        (BASE + "grid:\n  seeds: [0]\n---\nbase: {}", 5, "this is not YAML: but found another document"),
    ],
)
def test_a_mistake_is_one_line_with_its_line_and_key(
    text: str, line: int, said: str, tmp_path: pathlib.Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SweepFileError) as caught:
        read_sweep(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ") and "\n" not in message
    assert re.search(re.escape(said), message), message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: a sweep has the key grid"),
        (b"base: \xff", "is not text in UTF-8"),
        (b"base: \x00", "is not YAML: unacceptable character"),
        (b"[" * 900 + b"]" * 900, "is nested too deeply"),
    ],
)
def test_a_file_without_lines_is_refused(content: bytes, said: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(content)
    with pytest.raises(SweepFileError, match=said):
        read_sweep(path)
