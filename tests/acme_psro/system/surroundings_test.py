"""Tests of system.surroundings: how a run was made, in its config.json."""

import json
import pathlib
import subprocess
import sys
from importlib import metadata
from typing import Any

import numpy as np
import pytest

from acme_psro.system import cores, surroundings

ROOT = pathlib.Path(__file__).parents[3]


def test_surroundings_are_those_of_this_process() -> None:
    found = surroundings.describe_process()
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"].split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert found["machine"]["cores"] == cores.count()
    assert found["machine"]["memory_gib"] > 0.1
    assert json.loads(json.dumps(found)) == found


def test_versions_are_those_that_packages_declare() -> None:
    versions = surroundings.describe_process()["versions"]
    assert {"acme-psro", "open_spiel", "jax", "scipy"} <= set(versions)
    for name in set(versions) - {"python"}:
        assert versions[name] == metadata.version(name)
    assert "no-such-package" not in surroundings._versions(["no-such-package"])


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; from acme_psro.system import surroundings; surroundings.describe_process(); "
        "print(sorted({'jax', 'numpy', 'tensorflow', 'pyspiel'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def _git(directory: pathlib.Path, *arguments: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    done = subprocess.run(
        ["git", "-C", str(directory), *names, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_is_that_of_a_checkout(tmp_path: pathlib.Path) -> None:
    assert surroundings._commit(tmp_path) is None
    _git(tmp_path, "init", "--quiet")
    # No commit yet.
    assert surroundings._commit(tmp_path) is None
    (tmp_path / "file.py").write_text("a = 1\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message=First")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    _git(tmp_path, "tag", "--annotate", "v1", "--message=Release")
    assert surroundings._commit(tmp_path) == commit
    (tmp_path / "file.py").write_text("a = 2\n")
    assert surroundings._commit(tmp_path) == f"{commit}-dirty"


def test_the_command_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_PSRO_COMMAND", raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "my run.py", "--game=kuhn_poker(players=3)"])
    assert surroundings.command() == "python 'my run.py' '--game=kuhn_poker(players=3)'"
    # A program that a run starts has the run's own command.
    for name, value in surroundings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "child"])
    assert surroundings.command() == "python 'my run.py' '--game=kuhn_poker(players=3)'"


def test_each_start_is_recorded_if_it_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"game": "kuhn_poker", "seed": 1}
    first = surroundings.add_start(config, {})
    assert {name: first[name] for name in config} == config
    again = surroundings.add_start(config, first)
    assert again == first
    monkeypatch.setattr(cores, "count", lambda: 97)
    later = surroundings.add_start(config, again)
    assert [start["machine"]["cores"] for start in later[surroundings.KEY]] == [
        first[surroundings.KEY][0]["machine"]["cores"],
        97,
    ]


def test_a_table_describes_the_last_start() -> None:
    first, last = (
        {
            "command": command,
            "commit": "abc",
            "versions": {"python": "3.10.1", "jax": "0.6.2"},
            "machine": {"cores": 8, "memory_gib": 15.5, "accelerators": ["H100", "H100"], "processor": "P"},
        }
        for command in ("acme-psro run", "acme-psro run --resume")
    )
    assert surroundings.describe_surroundings({surroundings.KEY: [first, last]}) == [
        ("command", "acme-psro run --resume"),
        ("starts in different surroundings", "2"),
        ("commit", "abc"),
        ("versions", "python 3.10.1, jax 0.6.2"),
        ("processor", "P"),
        ("cores", "8"),
        ("memory", "15.5 GiB"),
        ("accelerators", "H100, H100"),
    ]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"made_by": None},
        {"made_by": "me"},
        {"made_by": []},
        {"made_by": [3, None]},
        {"made_by": [{"versions": 3, "machine": [], "command": None}]},
        {"made_by": [{"machine": {"accelerators": 3, "memory_gib": None}}]},
    ],
)
def test_runs_without_surroundings_have_an_empty_table(config: dict[str, Any]) -> None:
    """Older versions recorded none, and people edit files."""
    assert surroundings.describe_surroundings(config) == []
    assert len(surroundings.add_start({"seed": 1}, config)[surroundings.KEY]) >= 1
