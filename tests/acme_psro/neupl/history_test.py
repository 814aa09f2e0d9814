"""The history of a population: bounded, evenly spaced, and with the newest graph."""

import numpy as np

from acme_psro.neupl import history
from acme_psro.neupl.values import Values

NUM = 3


def after(epochs: int) -> history.History:
    found = history.start(NUM)
    for epoch in range(1, epochs + 1):
        graph = np.full((2, NUM, NUM), float(epoch))
        values = Values(np.zeros((2, NUM)), np.ones((2, NUM)), np.full((2, NUM), 3.0))
        found = history.record(found, graph, values)
    return found


def test_few_epochs_are_all_there() -> None:
    found = after(5)
    assert list(found.epochs) == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found.graphs[:, 0, 0, 0], found.epochs)
    assert (found.gap[0, 1], found.gain[0, 1]) == (3.0, 2.0)


def test_many_epochs_are_thinned_evenly_and_the_newest_stays() -> None:
    for epochs in (33, 100, 1000):
        found = after(epochs)
        assert len(found.epochs) <= 33
        assert (found.epochs[0], found.epochs[-1], found.done) == (1, epochs, epochs)
        assert set(np.diff(found.epochs[:-1])) == {found.stride}
        np.testing.assert_array_equal(found.graphs[:, 1, 2, 2], found.epochs)


def test_arrays_keep_everything() -> None:
    found = after(40)
    memory = {f"{history.PREFIX}{name}": values for name, values in history.to_arrays(found).items()}
    again = history.read_history(memory)
    assert again is not None
    for ours, theirs in zip(again, found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert history.read_history({}) is None
