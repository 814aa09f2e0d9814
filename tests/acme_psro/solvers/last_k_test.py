"""The latest policies of each player."""

import numpy as np
import pytest

from acme_psro.solvers import last_k


def test_uniform_over_the_last_k_or_over_all() -> None:
    rows, columns = last_k.solve(np.zeros((2, 5, 2)), k=3).marginals
    np.testing.assert_allclose(rows, [0, 0, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(columns, [0.5, 0.5])
    (latest,) = last_k.solve(np.zeros((1, 7)), k=1).marginals
    np.testing.assert_array_equal(latest, np.eye(7)[6])
    with pytest.raises(ValueError, match="k is 0"):
        last_k.solve(np.zeros((2, 2, 2)), k=0)
