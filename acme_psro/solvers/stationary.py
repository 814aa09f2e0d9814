"""Stationary distributions of Markov chains whose rates may differ by many orders of magnitude.

Small chains are solved by elimination as Grassmann, Taksar and Heyman (1985) do it: diagonal entries are
sums of rates, nothing is ever subtracted, and every entry of the answer is exact to nearly all digits,
however small it is. Rates whose ratio no double can hold are eliminated by their logarithms. Large chains
are solved by GMRES.

Dimensions: `N` states, `E` possible transitions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Chains up to this size are solved by elimination, larger ones by GMRES if it converges.
_SMALL = 512
# Elimination without logarithms bears this range of logarithms of rates: e^300 is 10^130.
_RANGE = 300.0
_BLOCK = 64
# GMRES: its tolerance and steps; and what it may leave, as a share of the flow out of a set of states.
_TOLERANCE = 1e-13
_RESTART, _MOST_RESTARTS = 80, 25
_ACCEPTED_IMBALANCE = 1e-6
# Transitions are slow, for that purpose, at a thousandth of the largest rate: the logarithm.
_SLOW = -7.0
# Eliminating this many states takes half a minute.
_MOST_AT_ALL = 10_000


class Chain(NamedTuple):
    """A Markov chain in continuous time.

    Attributes:
      size: the number of states, N.
      sources: `[E]` int, the states that transitions leave.
      targets: `[E]` int, the states that they reach; never their sources.
      log_rates: `[E]`, logarithms of their rates, finite.
    """

    size: int
    sources: np.ndarray
    targets: np.ndarray
    log_rates: np.ndarray


def solve(chain: Chain) -> np.ndarray:
    """Returns `[N]`: the stationary distribution of a chain in which every state can reach every other one.

    If there are more than 512 states, rates below e^-300 of the largest one are raised to that.

    Raises:
      RuntimeError: there are so many states that they cannot be eliminated, and GMRES did not converge.
    """
    if chain.size == 1:
        return np.ones(1)
    spread = float(np.ptp(chain.log_rates))
    scaled = chain.log_rates - chain.log_rates.max()
    if spread > _RANGE and chain.size <= _SMALL:
        return _eliminate_logarithms(_dense(chain._replace(log_rates=scaled), -np.inf))
    chain = chain._replace(log_rates=np.maximum(scaled, -_RANGE))
    if chain.size > _SMALL:
        found = _iterate(chain)
        if found is not None:
            return found
        if chain.size > _MOST_AT_ALL:
            raise RuntimeError(
                f"the chain of {chain.size} profiles did not converge; use fewer policies, or a larger eps"
            )
    table = _dense(chain, -np.inf)
    return _eliminate(np.exp(table, out=table))


def imbalance(chain: Chain, distribution: np.ndarray, groups: np.ndarray) -> float:
    """Returns the largest difference of flow in and out of a group of states, as a share of the flow out.

    Args:
      chain: with rates that a double can hold.
      distribution: `[N]`.
      groups: `[N]` int, the group of each state; groups that nothing leaves do not count.
    """
    flow = distribution[chain.sources] * np.exp(chain.log_rates)
    before, after = groups[chain.sources], groups[chain.targets]
    crosses = before != after
    size = int(groups.max()) + 1
    out = np.bincount(before[crosses], flow[crosses], size)
    into = np.bincount(after[crosses], flow[crosses], size)
    left = out > 0.0
    return float((np.abs(into - out)[left] / out[left]).max(initial=0.0))


def _dense(chain: Chain, nothing: float) -> np.ndarray:
    table = np.full((chain.size, chain.size), nothing)
    table[chain.sources, chain.targets] = chain.log_rates
    return table


def _eliminate_logarithms(log_rates: np.ndarray) -> np.ndarray:
    """Returns the stationary distribution of rates `[N, N]`, given by logarithms; the diagonal is ignored."""
    table = log_rates.copy()
    size = len(table)
    for last in range(size - 1, 0, -1):
        # The rates out of the last state, to those that are left, become shares.
        row = table[last, :last]
        table[:last, last] -= _log_sum(row)
        np.logaddexp(table[:last, :last], table[:last, last, None] + row, out=table[:last, :last])
    logs = np.zeros(size)
    for state in range(1, size):
        logs[state] = _log_sum(logs[:state] + table[:state, state])
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def _log_sum(values: np.ndarray) -> float:
    largest = values.max()
    return float(largest + np.log(np.exp(values - largest).sum()))


def _eliminate(rates: np.ndarray) -> np.ndarray:
    """Returns the stationary distribution of rates `[N, N]`, which are overwritten; the diagonal is ignored.

    A block of states is eliminated at a time: with D - A = L U for the rates A inside the block and D out
    of its states, the rates between the others rise by A_RB (L U)^-1 A_BR.
    """
    size = len(rates)
    starts = range(0, size, _BLOCK)
    factors = []
    for start in starts:
        block = slice(start, min(start + _BLOCK, size))
        rest = slice(block.stop, size)
        lower, upper = _factors(rates[block, block], rates[block, rest].sum(axis=1))
        factors.append((lower, upper))
        if block.stop < size:
            shares = _solve(upper, _solve(lower, rates[block, rest], True), False)
            rates[rest, rest] += rates[rest, block] @ shares
    found = np.zeros(size)
    for start, (lower, upper) in zip(reversed(starts), reversed(factors), strict=True):
        block = slice(start, min(start + _BLOCK, size))
        if block.stop == size:
            found[block] = _of_last_block(lower, upper)
        else:
            inflow = found[block.stop :] @ rates[block.stop :, block]
            found[block] = _solve(lower.T, _solve(upper.T, inflow, True), False)
        # Only ratios matter; without this, very unlikely states that come first would leave no room.
        found /= found.max()
    return found / found.sum()


def _factors(rates: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns L, with a diagonal of 1, and U for a block of states.

    Args:
      rates: `[b, b]` between the states; the diagonal is ignored.
      out: `[b]` from each state to all states that come later.
    """
    table, out = rates.copy(), out.copy()
    np.fill_diagonal(table, 0.0)
    size = len(table)
    for state in range(size):
        later = slice(state + 1, size)
        leaves = table[state, later].sum() + out[state]
        table[state, state] = -leaves
        if leaves > 0.0:
            table[later, state] /= leaves
            table[later, later] += np.multiply.outer(table[later, state], table[state, later])
            out[later] += table[later, state] * out[state]
            # What returns to a state is no transition.
            table[later, later][np.diag_indices(size - state - 1)] = 0.0
    return np.eye(size) - np.tril(table, -1), -np.triu(table)


def _of_last_block(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Returns the weights of the last block's states; the very last one, which nothing leaves, has 1."""
    size = len(upper)
    weights = np.ones(size)
    # Back from the last state: what flows into a state from later ones, by L; what leaves it, by U's
    # diagonal.
    for state in range(size - 2, -1, -1):
        weights[state] = -(weights[state + 1 :] @ lower[state + 1 :, state])
    return weights


def _solve(triangle: np.ndarray, right: np.ndarray, lower: bool) -> np.ndarray:
    """Solves a triangular system whose off-diagonal entries are not positive, so that terms only add up."""
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(triangle, right, lower=lower, check_finite=False))


def _iterate(chain: Chain) -> np.ndarray | None:
    """Returns the stationary distribution of a large chain, or None if GMRES did not find it."""
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import LinearOperator, gmres

    rates = np.exp(chain.log_rates)
    leaves = np.bincount(chain.sources, rates, chain.size)
    # The chain of jumps spends the same time everywhere: a state that is hardly ever left is nothing special.
    jumps = csr_array(
        (rates / leaves[chain.sources], (chain.targets, chain.sources)), shape=(chain.size,) * 2
    )
    even = np.full(chain.size, 1.0 / chain.size)
    operator = LinearOperator(
        jumps.shape, matvec=lambda visits: visits - jumps @ visits + even * visits.sum(), dtype=np.float64
    )
    visits, _ = gmres(
        operator, even, x0=even, rtol=_TOLERANCE, atol=0.0, restart=_RESTART, maxiter=_MOST_RESTARTS
    )
    found = np.maximum(visits, 0.0) / leaves
    if not found.sum() > 0.0:
        return None
    found /= found.sum()
    return found if imbalance(chain, found, _lasting_groups(chain)) <= _ACCEPTED_IMBALANCE else None


def _lasting_groups(chain: Chain) -> np.ndarray:
    """Returns `[N]`: a group for each set of states that is only left slowly; 0 for all other states."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    fast = chain.log_rates >= _SLOW
    sources, targets = chain.sources[fast], chain.targets[fast]
    graph = csr_array((np.ones(len(sources)), (sources, targets)), shape=(chain.size,) * 2)
    count, components = connected_components(graph, directed=True, connection="strong")
    is_left = np.zeros(count, bool)
    is_left[components[sources[components[sources] != components[targets]]]] = True
    return np.where(is_left[components], 0, components + 1)
