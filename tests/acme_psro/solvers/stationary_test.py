"""Stationary distributions: by hand, by every method, and of chains with rates of very different sizes."""

import numpy as np
import pytest

from acme_psro.solvers import stationary
from acme_psro.solvers.stationary import Chain


def random_chain(size: int, seed: int, spread: float = 5.0) -> Chain:
    """Returns a chain in which states lead to some others, and to their neighbours on a circle."""
    rng = np.random.default_rng(seed)
    table = rng.random((size, size)) < 8 / size
    table[np.arange(size), (np.arange(size) + 1) % size] = True
    np.fill_diagonal(table, False)
    sources, targets = np.nonzero(table)
    return Chain(size, sources, targets, -spread * rng.random(len(sources)))


def line(up: np.ndarray, down: np.ndarray) -> Chain:
    """Returns a chain on a line from the logarithms of its rates to the next state and to the one before."""
    size = len(up) + 1
    first, second = np.arange(size - 1), np.arange(1, size)
    return Chain(
        size,
        np.concatenate([first, second]),
        np.concatenate([second, first]),
        np.concatenate([up, down]),
    )


def by_least_squares(chain: Chain) -> np.ndarray:
    flow = np.zeros((chain.size, chain.size))
    flow[chain.targets, chain.sources] = np.exp(chain.log_rates)
    flow -= np.diag(flow.sum(axis=0))
    system = np.vstack([flow, np.ones(chain.size)])
    return np.linalg.lstsq(system, np.append(np.zeros(chain.size), 1.0), rcond=None)[0]


@pytest.mark.parametrize("size", [1, 2, 3, 63, 64, 65, 200])
def test_all_methods_agree(size: int) -> None:
    chain = random_chain(size, seed=size) if size > 1 else Chain(1, *(np.zeros(0, int),) * 2, np.zeros(0))
    found = stationary.solve(chain)
    np.testing.assert_allclose(found, by_least_squares(chain), atol=1e-12)


def test_logarithms_find_the_same() -> None:
    """A transition that next to never happens changes nothing, and is beyond what doubles hold."""
    chain = random_chain(150, seed=1)
    unlikely = chain._replace(
        sources=np.append(chain.sources, 0),
        targets=np.append(
            chain.targets, np.setdiff1d(np.arange(1, 150), chain.targets[chain.sources == 0])[0]
        ),
        log_rates=np.append(chain.log_rates, -1000.0),
    )
    np.testing.assert_allclose(stationary.solve(unlikely), stationary.solve(chain), rtol=1e-12)


def test_large_chains_by_iteration_and_by_elimination(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = random_chain(700, seed=0)
    iterated = stationary.solve(chain)
    monkeypatch.setattr(stationary, "_iterate", lambda chain: None)
    np.testing.assert_allclose(stationary.solve(chain), iterated, atol=1e-12)
    monkeypatch.setattr(stationary, "_MOST_AT_ALL", 600)
    with pytest.raises(RuntimeError, match="chain of 700 profiles did not converge"):
        stationary.solve(chain)


@pytest.mark.parametrize("depth", [10.0, 90.0, 1e4])
def test_every_entry_is_exact_however_small(depth: float) -> None:
    """On a line, neighbours are in balance: their ratio is that of the rates between them."""
    rng = np.random.default_rng(1)
    up, down = -depth * rng.random(80), -depth * rng.random(80)
    logs = np.append(0.0, np.cumsum(up - down))
    found = stationary.solve(line(up, down))
    expected = np.exp(logs - logs.max())
    positive = expected > 1e-300
    np.testing.assert_allclose((found / found.max())[positive], expected[positive], rtol=1e-9)


def test_imbalance_is_a_share_of_the_flow_out_of_a_group() -> None:
    chain = line(np.log([1.0]), np.log([3.0]))
    groups = np.array([0, 1])
    assert stationary.imbalance(chain, np.array([0.75, 0.25]), groups) == pytest.approx(0.0, abs=1e-15)
    # 0.5 flows from state 0 to state 1, and 1.5 back.
    assert stationary.imbalance(chain, np.array([0.5, 0.5]), groups) == pytest.approx(2.0)
    assert stationary.imbalance(chain, np.array([0.5, 0.5]), np.zeros(2, int)) == 0.0
