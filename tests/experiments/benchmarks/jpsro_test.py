"""JPSRO beside OpenSpiel's: the same answers, in no more iterations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from acme_psro.games.tree import GameTree
from experiments.benchmarks import jpsro

GAP, MOST = 1e-6, 30


@pytest.mark.parametrize("kind", ["cce", "ce"])
@pytest.mark.parametrize("game", ["matrix_bos", "matrix_cd", "matrix_shapleys_game"])
def test_the_loops_answer_is_openspiels(game: str, kind: str, compiled: Callable[[str], GameTree]) -> None:
    pytest.importorskip("cvxpy")
    ours = jpsro.run_ours(compiled(game), kind, GAP, MOST)
    theirs = jpsro.run_theirs(game, kind, GAP, MOST, seconds=60.0)
    assert ours.gap < GAP and theirs.gap < GAP
    assert ours.iterations <= theirs.iterations
    assert ours.returns == pytest.approx(theirs.returns, abs=1e-4)


def test_a_side_ends_at_its_limit(compiled: Callable[[str], GameTree]) -> None:
    ending = jpsro.run_ours(compiled("kuhn_poker(players=3)"), "cce", GAP, 2)
    assert ending.iterations == 2 and ending.gap > GAP and len(ending.returns) == 3
