"""HiGHS's methods run one after the other, within the time, until the caller is content."""

import itertools
import types
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from acme_psro.solvers import highs
from acme_psro.solvers.highs import LinearProgram, optima

# min x + 2 y with x + y = 1 and 2 x - y <= 0. It is 5/3, at x = 1/3; each unit of the inequality saves 1/3.
PROGRAM = LinearProgram(
    cost=np.array([1.0, 2.0]),
    inequalities=scipy.sparse.csr_matrix([[2.0, -1.0]]),
    equations=scipy.sparse.csr_matrix([[1.0, 1.0]]),
    right=np.ones(1),
    lower=np.zeros(2),
)


def test_all_methods_find_the_optimum_and_its_prices() -> None:
    found = list(optima(PROGRAM, 60.0))
    assert [optimum.method for optimum in found] == [
        "interior point", "interior point, tight", "dual simplex",
    ]  # fmt: skip
    for optimum in found:
        np.testing.assert_allclose(optimum.x, [1 / 3, 2 / 3], atol=1e-9)
        np.testing.assert_allclose(optimum.prices, [1 / 3], atol=1e-9)


def test_free_variables_may_be_negative() -> None:
    """If x + y = -3, the cost x + 2 y falls with y, down to its lower bound if it has one."""
    program = PROGRAM._replace(
        inequalities=scipy.sparse.csr_matrix([[1.0, 1.0]]),
        right=np.array([-3.0]),
        lower=np.array([0.0, -np.inf]),
    )
    with pytest.raises(RuntimeError, match=r"^HiGHS did not solve the linear program in 60 s: .*unbounded"):
        list(optima(program, 60.0))
    bounded = program._replace(lower=np.array([0.0, -7.0]))
    np.testing.assert_allclose(next(optima(bounded, 60.0)).x, [4.0, -7.0], atol=1e-9)


def test_methods_stop_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    true, limits = highs.linprog, []

    def linprog(*args: Any, **kwargs: Any) -> Any:
        limits.append(kwargs["options"]["time_limit"])
        return true(*args, **kwargs)

    # The clock is read at the start and before each method.
    clock = types.SimpleNamespace(monotonic=itertools.count(0.0, 30.0).__next__)
    monkeypatch.setattr(highs, "linprog", linprog)
    monkeypatch.setattr(highs, "time", clock)
    assert len(list(optima(PROGRAM, 62.0))) == 2
    # HiGHS would not notice a limit that is shorter than its presolve.
    assert limits == [32.0, 5.0]


def test_no_time_is_an_error() -> None:
    with pytest.raises(
        RuntimeError, match=r"^HiGHS did not solve the linear program in 0 s: there was no time$"
    ):
        list(optima(PROGRAM, 0.0))


def test_infeasible_program_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="infeasible"):
        list(optima(PROGRAM._replace(right=-np.ones(1)), 60.0))
