"""The benchmark of meta-solvers: outcomes, peers with the same answers, and rows of figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from acme_psro.solvers import SOLVERS
from experiments.benchmarks.shared import meta_solver_peers
from tests.acme_psro.commands import launching


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    with launching.imported("experiments.benchmarks.meta_solvers") as module:
        yield module


def test_outcomes_have_certificates_where_an_equilibrium_is_promised(benchmark: Any) -> None:
    call = benchmark.measure("max_gini_ce", (3, 4), 1)
    assert call.seconds >= 0.0 and 0.0 <= call.gap < 1e-7
    assert benchmark.measure("uniform", (2, 2, 2), 1).gap is None
    zero_sum = benchmark.make_payoffs((3, 3), True)
    np.testing.assert_array_equal(zero_sum[0], -zero_sum[1])


def test_peers_are_solvers_of_the_same_problem() -> None:
    assert set(meta_solver_peers.PEERS) <= set(SOLVERS)
    payoffs = np.random.default_rng(0).standard_normal((2, 4, 4))
    found = meta_solver_peers.PEERS["regret_matching"].solve(payoffs)
    assert [len(own) for own in found.marginals] == [4, 4]  # type: ignore[union-attr]


def test_rows_that_are_not_measured_now_stay(benchmark: Any) -> None:
    before = {"title": "T", "rows": [{"cells": ["`uniform`"], "figures": {}}]}
    call = benchmark.Call(0.5, 1e-3)
    made = benchmark.make_figures([("max_gini_cce", [call], ["over 5 s"])], ["5x5"], before)
    assert made["title"] == "T" and [row["cells"][0] for row in made["rows"]] == [
        "`uniform`",
        "`max_gini_cce`",
    ]
    cells = made["rows"][1]["cells"]
    assert cells[1].format(**made["rows"][1]["figures"]) == "0.5 s, 1e-03" and cells[2] == "over 5 s"
    assert len(cells) == len(made["columns"])
