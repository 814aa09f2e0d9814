"""Freezing by hand: what is fixed when, and that nothing that is fixed changes."""

import numpy as np
import pytest

from acme_psro.neupl import freezing
from acme_psro.neupl.values import Values

NUM = 4
SINKS = (np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]))


def values_of(first: float, second: float) -> Values:
    """Returns values by which both players' members all have these relative gains."""
    own = np.array([[first] * NUM, [second] * NUM])
    return Values(own, np.zeros((2, NUM)), np.ones((2, NUM)))


def tables_of(mark: float) -> list[np.ndarray]:
    return [np.full((NUM, 1, 2), mark)] * 2


def advance(state: freezing.Freezing, first: float, second: float, mark: float) -> freezing.Freezing:
    return freezing.advance(state, [values_of(first, second)], [tables_of(mark)], patience=2, enough=0.9)


def test_only_sinks_are_fixed_at_first() -> None:
    state = freezing.start(SINKS, NUM)
    assert state.mask(NUM).tolist() == [[True, False, False, False]] * 2
    np.testing.assert_array_equal(state.tables[0][0], SINKS[0])


def test_a_member_that_gains_enough_is_fixed_at_once_and_keeps_its_policy() -> None:
    state = advance(freezing.start(SINKS, NUM), 0.95, 0.5, mark=1.0)
    assert state.mask(NUM).tolist() == [[True, True, False, False], [True, False, False, False]]
    state = advance(state, 0.99, 0.95, mark=2.0)
    assert state.frontier == 2
    assert (state.tables[0][1, 0, 0], state.tables[1][1, 0, 0]) == (1.0, 2.0)


def test_a_member_without_progress_is_fixed_at_its_best() -> None:
    state = freezing.start(SINKS, NUM)
    # The second value falls, so that the first policy stays the best; the third is no progress either.
    for mark, gain in ((1.0, 0.6), (2.0, 0.4), (3.0, 0.5)):
        assert state.frontier == 1
        state = advance(state, gain, gain, mark)
    assert state.frontier == 2
    assert [table[1, 0, 0] for table in state.tables] == [1.0, 1.0]


def test_the_better_candidate_is_kept() -> None:
    state = freezing.advance(
        freezing.start(SINKS, NUM),
        [values_of(0.2, 0.95), values_of(0.95, 0.91)],
        [tables_of(1.0), tables_of(2.0)],
        patience=2,
        enough=0.9,
    )
    assert [table[1, 0, 0] for table in state.tables] == [2.0, 1.0]


def test_when_all_members_are_fixed_nothing_changes_any_more() -> None:
    state = freezing.start(SINKS, NUM)
    for mark in range(1, NUM):
        state = advance(state, 1.0, 1.0, float(mark))
    assert state.mask(NUM).all()
    assert advance(state, 1.0, 1.0, 9.0) is state
    assert [state.tables[0][member, 0, 0] for member in range(1, NUM)] == [1.0, 2.0, 3.0]


def test_arrays_keep_everything() -> None:
    state = advance(freezing.start(SINKS, NUM), 0.5, 0.95, 1.0)
    again = freezing.from_arrays(freezing.to_arrays(state))
    assert again.frontier == state.frontier
    for name in ("is_fixed", "best", "idle"):
        np.testing.assert_array_equal(getattr(again.progress, name), getattr(state.progress, name))
    np.testing.assert_array_equal(again.tables[1], state.tables[1])
    with pytest.raises(KeyError):
        freezing.from_arrays({})
