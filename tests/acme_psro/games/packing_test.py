"""Tests of acme_psro.games.packing: a compiled game is the same after its way as bytes, or refused."""

import dataclasses
import io
from typing import Any

import numpy as np
import pytest

from acme_psro.games import packing
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import GameGraph
from acme_psro.games.tree import GameTree
from acme_psro.system import archives


def _assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert one.digest == other.digest
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        for mine, theirs in zip(np.atleast_1d(left), np.atleast_1d(right), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.games("kuhn_3p", "catch")
def test_a_tree_comes_back(case: Any) -> None:
    found = packing.unpack(packing.pack(case.tree))
    assert isinstance(found, GameTree)
    assert found.game_string == case.tree.game_string
    assert found.keys == case.tree.keys
    assert found.digest == case.tree.digest
    for left, right in zip(found.level_offsets, case.tree.level_offsets, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_graph_comes_back() -> None:
    graph = compile_graph("kuhn_poker", cache=False)
    found = packing.unpack(packing.pack(graph))
    assert isinstance(found, GameGraph)
    _assert_same(found, graph)


def test_altered_games_are_refused(compiled: Any) -> None:
    content = packing.pack(compiled("kuhn_poker"))
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    other = archives.pack({**arrays, "reward": arrays["reward"] + 1}, compressed=False)
    for altered in (content[:-7], b"", other):
        with pytest.raises(ValueError, match="a compiled game was altered on its way"):
            packing.unpack(altered)
