"""Tests of opponent profiles: sampling by cumulative sums, and shapes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.profiles import Profiles, cumulative, make_profiles, sample_profiles


def test_the_last_possible_entry_covers_sums_below_one() -> None:
    sums = np.asarray(cumulative(jnp.float32([0.25, 0.0, 0.75, 0.0])))
    np.testing.assert_array_equal(sums[:2], [0.25, 0.25])
    # No uniform number reaches the last two sums, so that the entry before them takes all that is left.
    assert (sums[2:] > 1).all()


@pytest.mark.parametrize("count", [4, 40])
def test_profiles_are_sampled_by_their_weights_by_either_search(count: int) -> None:
    weights = np.zeros(count, np.float32)
    weights[[1, 3]] = 0.25, 0.75
    profiles = Profiles(jnp.ones((count, 1, 1)), cumulative(jnp.asarray(weights)))
    drawn = np.asarray(sample_profiles(profiles, jax.random.key(0), 4096))
    assert set(np.unique(drawn)) == {1, 3}
    assert abs((drawn == 1).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(drawn))


@pytest.mark.games("kuhn")
def test_wrong_shapes_are_refused(case: Any) -> None:
    game, table = make_arrays(case.tree), jnp.asarray(case.tree.uniform_policy())
    with pytest.raises(AssertionError):
        make_profiles(game, table, jnp.ones(1))
    with pytest.raises(AssertionError):
        make_profiles(game, table[None], jnp.ones(2))
