"""State of the node that estimates payoffs and serves the interaction graph, and its pure transitions.

Dimensions: `P` = 2 players, `N` members, `C` stored outcomes, `n` new ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.agent_runs.neupl_program import frozen
from acme_psro.agent_runs.neupl_program.frozen import Frozen
from acme_psro.neupl import payoff_estimator
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.interaction_graph import make_graph
from acme_psro.neupl.payoff_estimator import Estimator, EstimatorState, Outcomes

_FROZEN = "frozen_"


@dataclasses.dataclass(frozen=True, eq=False)
class GraphState:
    """Everything that the node must not lose.

    Attributes:
      epoch: number of graphs that were made from estimated payoffs.
      graph: `[P, N, N]`, the present graph.
      due: gradient steps of the learner at which the next graph is due.
      estimator: state of the payoff estimator.
      key: `[2]` uint32, random key of the estimator's next batches, as raw data.
      store: the newest outcomes, `[C, ..]`.
      filled: number of outcomes in the store.
      place: place of the next outcome in the store.
      received: number of outcomes so far, also of those that were overwritten.
      waiting: number of outcomes for which the estimator has not been trained yet.
      frozen: progress of freezing; None without it.
    """

    epoch: int
    graph: np.ndarray
    due: float
    estimator: EstimatorState
    key: np.ndarray
    store: Outcomes
    filled: int
    place: int
    received: int
    waiting: float
    frozen: Frozen | None = None


def start(estimator: Estimator, config: NeuPLConfig, stored: int, epoch_steps: int, seed: int) -> GraphState:
    """Returns the state before any game, with the graph of payoffs that are all equal.

    Args:
      estimator: the payoff estimator.
      config: the population.
      stored: `C`.
      epoch_steps: the learner's gradient steps between two graphs.
      seed: seed of the estimator.
    """
    num = config.population_size
    graph = make_graph(config.graph, np.zeros((2, num, num)), config.row_tolerance)
    init_key, key = jax.random.split(jax.random.key(seed))
    rows = np.zeros((stored, num), np.float32)
    return GraphState(
        epoch=0,
        graph=graph,
        due=float(epoch_steps),
        estimator=estimator.init(init_key),
        key=np.asarray(jax.random.key_data(key)),
        store=Outcomes(rows, rows.copy(), np.zeros(stored, np.float32)),
        filled=0,
        place=0,
        received=0,
        waiting=0.0,
        frozen=frozen.start(num) if config.freezing else None,
    )


def receive(state: GraphState, games: Outcomes) -> GraphState:
    """Returns the state with new outcomes in the places of the oldest ones.

    The arrays of the store are changed in place: there may be many megabytes of them.
    """
    capacity, total = len(state.store.outcome), len(games.outcome)
    num = min(total, capacity)
    places = (state.place + np.arange(num)) % capacity
    for old, new in zip(state.store, games, strict=True):
        old[places] = new[total - num :]
    return dataclasses.replace(
        state,
        filled=min(state.filled + num, capacity),
        place=(state.place + num) % capacity,
        received=state.received + total,
        waiting=state.waiting + total,
    )


def estimate(state: GraphState, estimator: Estimator) -> tuple[GraphState, float]:
    """Returns the state after a call of the estimator's `fit`, and the mean squared error.

    The estimator's functions should be jitted.

    Raises:
      ValueError: there are no outcomes yet.
    """
    if not state.filled:
        raise ValueError("payoffs are estimated from finished games, and there are none yet.")
    use, key = jax.random.split(jax.random.wrap_key_data(jnp.asarray(state.key)))
    outcomes = jax.tree.map(jnp.asarray, state.store)
    learned, errors = estimator.fit(use, state.estimator, outcomes, jnp.int32(state.filled))
    new = dataclasses.replace(state, estimator=learned, key=np.asarray(jax.random.key_data(key)))
    return new, float(errors.mean())


def settle(state: GraphState, num: float) -> GraphState:
    """Returns the state after training for some of the outcomes that were waiting for it.

    At most a whole store waits: an estimator that cannot keep up must not fall further and further behind.
    """
    waiting = min(state.waiting - num, float(len(state.store.outcome)))
    return dataclasses.replace(state, waiting=waiting)


def advance(
    state: GraphState, payoffs: np.ndarray, config: NeuPLConfig, gradient_steps: float, epoch_steps: int
) -> GraphState:
    """Returns the state with a new graph, in which fixed members keep their rows.

    Args:
      state: the state before it.
      payoffs: `[P, N, N]`, of the members by the graph before it.
      config: the population.
      gradient_steps: the learner's gradient steps so far.
      epoch_steps: its gradient steps between two graphs.
    """
    graph = make_graph(config.graph, payoffs, config.row_tolerance)
    if state.frozen is not None:
        graph = state.frozen.keep_rows(graph)
    return dataclasses.replace(state, epoch=state.epoch + 1, graph=graph, due=gradient_steps + epoch_steps)


def to_arrays(state: GraphState) -> dict[str, np.ndarray]:
    """Returns the state as arrays by name."""
    filled = {f"store_{name}": part[: state.filled] for name, part in state.store._asdict().items()}
    own = {
        name: np.asarray(getattr(state, name))
        for name in ("epoch", "graph", "due", "key", "place", "received", "waiting")
    }
    arrays = {**payoff_estimator.to_arrays(state.estimator), **filled, **own}
    if state.frozen is not None:
        arrays |= {f"{_FROZEN}{name}": array for name, array in frozen.to_arrays(state.frozen).items()}
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray], estimator: Estimator, stored: int) -> GraphState:
    """Returns the state from `to_arrays`.

    Args:
      arrays: by name.
      estimator: the payoff estimator.
      stored: `C`. If it has changed, outcomes that have no room are dropped.

    Raises:
      ValueError: the arrays are of another population.
    """
    graph = np.array(arrays["graph"])
    rows = np.zeros((stored, graph.shape[-1]), np.float32)
    empty = GraphState(
        epoch=int(arrays["epoch"]),
        graph=graph,
        due=float(arrays["due"]),
        estimator=payoff_estimator.from_arrays(estimator, arrays),
        key=np.array(arrays["key"]),
        store=Outcomes(rows, rows.copy(), np.zeros(stored, np.float32)),
        filled=0,
        place=0,
        received=0,
        waiting=0.0,
        frozen=_read_frozen(arrays),
    )
    before = Outcomes(*(arrays[f"store_{name}"] for name in Outcomes._fields))
    num = len(before.outcome)
    # The oldest outcome comes first, so that the next ones overwrite it first. A store that is not full yet
    # begins with it; in a full one, it is in the place of the next outcome.
    order = (np.arange(num) + int(arrays["place"])) % max(1, num)
    state = receive(empty, Outcomes(*(part[order] for part in before)))
    return dataclasses.replace(state, received=int(arrays["received"]), waiting=float(arrays["waiting"]))


def _read_frozen(arrays: Mapping[str, np.ndarray]) -> Frozen | None:
    own = {name.removeprefix(_FROZEN): array for name, array in arrays.items() if name.startswith(_FROZEN)}
    return frozen.from_arrays(own) if own else None
