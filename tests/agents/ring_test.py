"""Tests of agents.ring: which items are kept, and what is drawn."""

import numpy as np
import pytest

from agents.ring import Ring


def numbers(*values: int) -> dict[str, np.ndarray]:
    return {"value": np.array(values), "pair": np.array([[value, -value] for value in values])}


def kept(ring: Ring) -> set[int]:
    return set(ring.sample(500)["value"].tolist())


def test_the_newest_items_are_kept_and_drawn_uniformly() -> None:
    ring = Ring(4, seed=0)
    ring.add_all(numbers(1, 2, 3))
    assert len(ring) == 3 and kept(ring) == {1, 2, 3}
    ring.add_all(numbers(4, 5))
    assert len(ring) == 4 and kept(ring) == {2, 3, 4, 5}
    drawn = ring.sample(40_000)
    np.testing.assert_array_equal(drawn["pair"], np.stack([drawn["value"], -drawn["value"]], axis=1))
    _, counts = np.unique(drawn["value"], return_counts=True)
    # 10,000 of each are expected, with a standard deviation of 87.
    np.testing.assert_allclose(counts, 10_000, atol=450)


def test_many_items_at_once_are_as_one_after_the_other() -> None:
    together, alone = Ring(5, seed=3), Ring(5, seed=3)
    for first, last in ((0, 4), (4, 4), (4, 7), (7, 20)):
        together.add_all({"value": np.arange(first, last)})
        for value in range(first, last):
            alone.add({"value": np.int64(value)})
    assert len(together) == len(alone) == 5
    np.testing.assert_array_equal(together.sample(50)["value"], alone.sample(50)["value"])


def test_an_empty_ring_has_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="an empty replay has nothing to draw"):
        Ring(5, seed=0).sample(1)
    with pytest.raises(ValueError, match="room for 1 item at least, not 0"):
        Ring(0, seed=0)


def test_samples_do_not_change_with_later_items() -> None:
    ring = Ring(1, seed=0)
    ring.add_all(numbers(1))
    drawn = ring.sample(2)
    ring.add_all(numbers(2))
    assert drawn["value"].tolist() == [1, 1]
