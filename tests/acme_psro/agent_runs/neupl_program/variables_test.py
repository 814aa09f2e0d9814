"""Tests of variables that an actor uses twice."""

from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import numpy as np
from acme import core

from acme_psro.agent_runs.neupl_program.variables import SharedVariables


class Source(core.VariableSource):
    def __init__(self) -> None:
        self.requests: list[list[str]] = []

    def get_variables(self, names: Any) -> list[Any]:
        self.requests.append(names)
        return [{"weights": np.full(2, len(self.requests), np.float32)}]


def test_opponents_play_by_what_the_learner_fetched_last() -> None:
    source = Source()
    shared = SharedVariables(source)
    # Nothing was fetched yet, so that it is now.
    np.testing.assert_array_equal(shared.newest()["weights"], [1, 1])
    np.testing.assert_array_equal(shared.newest()["weights"], [1, 1])
    (found,) = shared.get_variables(("policy",))
    np.testing.assert_array_equal(found["weights"], [2, 2])
    np.testing.assert_array_equal(shared.newest()["weights"], [2, 2])
    assert source.requests == [["policy"], ["policy"]]
    assert isinstance(shared.newest()["weights"], jax.Array)
