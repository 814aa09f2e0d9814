"""Fixtures with a run with sampled payoffs in Kuhn poker, a game small enough for exact results."""

import contextlib
import io
import pathlib
from collections.abc import Iterator

import pytest

from acme_psro.commands import run_psro
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import stored
from acme_psro.policies.tabular import Policy
from acme_psro.storage import run_directory
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.population_runs.fakes import FLAGS, GAME, World, faked, table_of


@pytest.fixture(scope="session")
def tree() -> GameTree:
    return compile_game(GAME, cache=False)


@pytest.fixture
def world(tree: GameTree) -> Iterator[World]:
    with faked(tree) as world:
        yield world


@pytest.fixture(scope="session")
def finished(tree: GameTree, tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str]:
    """Returns the directory of a run of three iterations and its printed output."""
    directory, out = tmp_path_factory.mktemp("runs") / "kuhn", io.StringIO()
    flags = (*FLAGS, "--gain_episodes=1000", "--iterations=3", f"--output_dir={directory}")
    with faked(tree), contextlib.redirect_stdout(out):
        assert exit_code(run_psro.main, *flags) == 0
    return directory, out.getvalue()


@pytest.fixture(scope="session")
def run(finished: tuple[pathlib.Path, str]) -> run_directory.StoredSampledRun:
    return run_directory.read(finished[0], pytest.fail)


@pytest.fixture(scope="session")
def populations(run: run_directory.StoredSampledRun, tree: GameTree) -> list[tuple[Policy, ...]]:
    """Returns the populations of the finished run as tables."""
    return [
        tuple(table_of(tree, stored.read(policy.path), player) for policy in population)
        for player, population in enumerate(run.record.state.populations)
    ]
