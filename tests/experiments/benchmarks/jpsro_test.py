"""JPSRO beside OpenSpiel's: the same answers, in no more iterations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acme_psro.games.tree import GameTree
from tests.acme_psro.commands import launching

GAP, MOST = 1e-6, 30


@pytest.fixture(scope="module")
def jpsro() -> Iterator[Any]:
    with launching.imported("experiments.benchmarks.jpsro") as module:
        yield module


@pytest.mark.parametrize("kind", ["cce", "ce"])
@pytest.mark.parametrize("game", ["matrix_bos", "matrix_cd", "matrix_shapleys_game"])
def test_the_loops_answer_is_openspiels(
    game: str, kind: str, jpsro: Any, compiled: Callable[[str], GameTree]
) -> None:
    pytest.importorskip("cvxpy")
    ours = jpsro.run_ours(compiled(game), kind, GAP, MOST)
    theirs = jpsro.run_theirs(game, kind, GAP, MOST, seconds=60.0)
    assert ours.gap < GAP and theirs.gap < GAP
    assert ours.iterations <= theirs.iterations
    assert ours.returns == pytest.approx(theirs.returns, abs=1e-4)


def test_a_side_ends_at_its_limit(jpsro: Any, compiled: Callable[[str], GameTree]) -> None:
    ending = jpsro.run_ours(compiled("kuhn_poker(players=3)"), "cce", GAP, 2)
    assert ending.iterations == 2 and ending.gap > GAP and len(ending.returns) == 3
