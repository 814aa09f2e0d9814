"""Learned payoffs of members against members, for games that are too large for exact ones.

A small network learns player 0's expected return from the rows of both members (Liu et al. 2022,
arXiv:2202.07415). The paper reads payoffs off a critic that knows both rows. Values that are averaged over
decisions are biased if some games have more decisions than others, so the network here is fitted to the
returns of whole games.

Returns are in units of the game's largest return, so that learning rates suit all games.

Dimensions: `P` = 2 players, `N` members, `B` games of a batch, `C` games of a store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from acme_psro.system import pytrees


@dataclasses.dataclass(frozen=True)
class EstimatorConfig:
    """Configuration of the payoff estimator.

    Attributes:
      hidden_sizes: widths of the network's hidden layers.
      learning_rate: Adam's learning rate.
      batch_size: games of a gradient step.
      averaging: decay of the parameters' running average, by which payoffs are predicted. The gradients of
        single games are noisy, and the average is not.

    Raises:
      ValueError: a value is out of its range.
    """

    hidden_sizes: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    batch_size: int = 512
    averaging: float = 0.99

    def __post_init__(self) -> None:
        if min((*self.hidden_sizes, self.batch_size)) < 1:
            raise ValueError("the payoff estimator's hidden_sizes and batch_size must be at least 1.")
        if not self.learning_rate > 0:
            raise ValueError(
                f"the payoff estimator's learning_rate must be above 0, not {self.learning_rate}."
            )
        if not 0 <= self.averaging < 1:
            raise ValueError(f"the payoff estimator's averaging must lie in [0, 1), not {self.averaging}.")


class Outcomes(NamedTuple):
    """Finished games between members. An estimator also takes JAX's arrays.

    Attributes:
      first: `[B, N]` float32, the row of player 0's member, all 0 for the sink.
      second: `[B, N]` float32, the row of player 1's member.
      outcome: `[B]` float32, player 0's return, in units of the game's largest.
    """

    first: np.ndarray
    second: np.ndarray
    outcome: np.ndarray


class EstimatorState(NamedTuple):
    """Training state.

    Attributes:
      params: the network's parameters.
      optimiser: Adam's state.
      average: the running average of the parameters, not yet divided by the weights' sum.
      step: `[]` int32, the number of gradient steps.
    """

    params: Any
    optimiser: Any
    average: Any
    step: jax.Array


class Estimator(NamedTuple):
    """Pure functions of an estimator.

    Attributes:
      init: key -> the state before learning, which predicts 0.
      update: (state, outcomes `[B]`) -> the state after a gradient step, and the mean squared error `[]`.
      fit: (key, state, outcomes `[C]`, number `[]` of the first ones to use) -> the state after several
        gradient steps on batches that are drawn uniformly, and the errors `[updates]`.
      predict: (state, graph `[P, N, N]`) -> payoffs `[P, N, N]` of all pairs of members, zero-sum.
    """

    init: Callable[[jax.Array], EstimatorState]
    update: Callable[[EstimatorState, Outcomes], tuple[EstimatorState, jax.Array]]
    fit: Callable[[jax.Array, EstimatorState, Outcomes, jax.Array], tuple[EstimatorState, jax.Array]]
    predict: Callable[[EstimatorState, jax.Array], jax.Array]


def make_estimator(
    num_members: int,
    config: EstimatorConfig | None = None,
    *,
    updates: int = 1,
    is_symmetric: bool = False,
) -> Estimator:
    """Returns the functions of an estimator for a two-player zero-sum game.

    Args:
      num_members: `N`.
      config: network and optimiser; the defaults if None.
      updates: the gradient steps of `fit`.
      is_symmetric: True if both players are in the same position, so that members of the same index are the
        same policy. Payoffs are `(U - U^T) / 2` then.
    """
    config = config or EstimatorConfig()
    optimiser = optax.adam(config.learning_rate)

    def network(first: jax.Array, second: jax.Array) -> jax.Array:
        hidden = jnp.concatenate([first, second], axis=-1)
        for size in config.hidden_sizes:
            hidden = jax.nn.relu(hk.Linear(size)(hidden))
        # Payoffs that nothing is known about are equal, so that no member is preferred.
        return hk.Linear(1, w_init=jnp.zeros, name="head")(hidden)[..., 0]

    transformed: Any = hk.without_apply_rng(hk.transform(network))

    def init(key: jax.Array) -> EstimatorState:
        row = jnp.zeros((1, num_members))
        params = transformed.init(key, row, row)
        average = jax.tree.map(jnp.zeros_like, params)
        return EstimatorState(params, optimiser.init(params), average, jnp.int32(0))

    def update(state: EstimatorState, outcomes: Outcomes) -> tuple[EstimatorState, jax.Array]:
        chex.assert_shape([outcomes.first, outcomes.second], (None, num_members))
        chex.assert_equal_shape_prefix([outcomes.first, outcomes.second, outcomes.outcome], 1)

        def loss(params: Any) -> jax.Array:
            found = transformed.apply(params, outcomes.first, outcomes.second)
            return jnp.mean(jnp.square(found - outcomes.outcome))

        error, gradient = jax.value_and_grad(loss)(state.params)
        changes, moments = optimiser.update(gradient, state.optimiser)
        params: Any = optax.apply_updates(state.params, changes)
        average = optax.incremental_update(params, state.average, 1 - config.averaging)
        return EstimatorState(params, moments, average, state.step + 1), error

    def fit(
        key: jax.Array, state: EstimatorState, outcomes: Outcomes, count: jax.Array
    ) -> tuple[EstimatorState, jax.Array]:
        def step(state: EstimatorState, key: jax.Array) -> tuple[EstimatorState, jax.Array]:
            rows = jax.random.randint(key, (config.batch_size,), 0, count)
            return update(state, jax.tree.map(lambda leaf: leaf[rows], outcomes))

        return jax.lax.scan(step, state, jax.random.split(key, updates))

    def predict(state: EstimatorState, graph: jax.Array) -> jax.Array:
        chex.assert_shape(graph, (2, num_members, num_members))
        # The average began at 0. As in Adam, it is divided by the sum of its weights.
        weight = jnp.maximum(1 - config.averaging ** state.step.astype(jnp.float32), 1e-6)
        params = jax.tree.map(lambda leaf: leaf / weight, state.average)
        shape = (num_members, num_members, num_members)
        first = jnp.broadcast_to(graph[0][:, None], shape)
        second = jnp.broadcast_to(graph[1][None], shape)
        payoffs = transformed.apply(params, first, second)
        if is_symmetric:
            payoffs = (payoffs - payoffs.T) / 2
        return jnp.stack([payoffs, -payoffs])

    return Estimator(init, update, fit, predict)


def to_arrays(state: EstimatorState) -> dict[str, np.ndarray]:
    """Returns the state as arrays by name, for checkpoints."""
    return pytrees.to_arrays(state)


def from_arrays(estimator: Estimator, arrays: Mapping[str, np.ndarray]) -> EstimatorState:
    """Returns the state from `to_arrays`.

    Args:
      estimator: the estimator whose state it is.
      arrays: by name; other arrays are ignored.

    Raises:
      ValueError: the arrays are of another network or population.
    """
    example = jax.eval_shape(estimator.init, jax.random.key(0))
    otherwise = "the payoff estimator's arrays are of another network or population: start again."
    state: EstimatorState = pytrees.from_arrays(example, arrays, otherwise)
    return state
