"""Distillation of policies into one network, in which a context of its own makes each of them.

A new policy gets a new context, and the network learns to play it there. Meanwhile it is held, in the
contexts of all earlier policies, to what it played there before. The loss is that of NeuPL-JPSRO (Liu et al.
2024, arXiv:2401.05133): the sum of KL(target || network) over new policies, and the same over earlier ones
times a weight. Contexts are learned too, as embeddings, with the player in front.

Dimensions: `M` policies of all players, padding included, `R` information states of the player who has most,
`I` information states over all players, `A` actions, `D` numbers in an information state, `E` in an
embedding, `P` players, `B` batch, `U` updates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from agents.core import Observation
from agents.gradients import make_update
from agents.networks import masked_log_probs


@dataclasses.dataclass(frozen=True)
class DistillationConfig:
    """Budget and loss of a distillation.

    Attributes:
      gradient_steps: updates of the network after each round of best responses.
      batch_size: pairs of a policy and an information state in an update; one half are of new policies.
      learning_rate: Adam's first learning rate.
      final_learning_rate: its last one, reached linearly.
      keeping: weight of the KL to what earlier policies were, relative to the KL to a new policy.
      elsewhere: share of information states that are drawn evenly, also where a policy's own actions never
        lead; the others are drawn as often as they lead there.
    """

    gradient_steps: int = 1000
    batch_size: int = 1024
    learning_rate: float = 0.01
    final_learning_rate: float = 1e-4
    keeping: float = 1.0
    elsewhere: float = 0.1

    def __post_init__(self) -> None:
        if self.gradient_steps < 1:
            raise ValueError(f"gradient_steps must be at least 1, not {self.gradient_steps}.")
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, a new and an old one, not {self.batch_size}.")
        for name in ("learning_rate", "final_learning_rate", "keeping"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}.")
        if not 0 < self.elsewhere <= 1:
            raise ValueError(f"elsewhere must lie in (0, 1], not {self.elsewhere}.")


class Network(NamedTuple):
    """A network of policies.

    Attributes:
      init: key -> parameters.
      apply: (parameters, observations `[B]` with contexts `[B, P + E]`) -> logits `[B, A]`.
    """

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, Observation], jax.Array]


class Learned(NamedTuple):
    """Everything that is learned: the parameters, and the embeddings `[M, E]` float32."""

    params: Any
    embeddings: jax.Array


class Places(NamedTuple):
    """Information states at which policies are defined.

    Attributes:
      player: `[M]` int32, the player of each policy; 0 for padding.
      infoset: `[M, R]` int32, the player's information states, padded with its last one.
      info_state: `[I, D]` float32.
      legal_actions: `[I, A]` bool.
    """

    player: jax.Array
    infoset: jax.Array
    info_state: jax.Array
    legal_actions: jax.Array


class Lesson(NamedTuple):
    """Targets, and the pairs of a policy and an information state that updates learn from.

    Attributes:
      targets: `[M, R, A]` float32, probabilities.
      drawn: `[U, B]` int32, numbers of the pairs, `policy * R + row`.
      weight: `[B]` float32, the weight of each position of a batch in the loss.
    """

    targets: jax.Array
    drawn: jax.Array
    weight: jax.Array


def kl(target: jax.Array, log_probs: jax.Array) -> jax.Array:
    """Returns KL(target || policy) `[..]`, in nats, of probabilities and log probabilities `[.., A]`."""
    chex.assert_equal_shape([target, log_probs])
    # Actions that the target never takes add 0, however improbable the policy makes them.
    surprise = jnp.where(target > 0, jnp.log(jnp.where(target > 0, target, 1.0)) - log_probs, 0.0)
    return jnp.sum(target * surprise, axis=-1)


def loss(weight: jax.Array, target: jax.Array, log_probs: jax.Array) -> jax.Array:
    """Returns the weighted sum `[]` of the KLs `[B]` of a batch, see `position_weights`."""
    return jnp.sum(weight * kl(target, log_probs))


def position_weights(num_new: int, num_old: int, config: DistillationConfig) -> np.ndarray:
    """Returns `[B]` float32: the weights that make a batch an estimate of the loss, per policy.

    Positions in the first half hold pairs of new policies, the others of earlier ones, if there are any.

    Args:
      num_new: the number of new policies, at least 1.
      num_old: the number of earlier ones.
      config: has the size of a batch and the weight of earlier policies.
    """
    half = config.batch_size // 2
    new = np.full(half, num_new / half)
    old = np.full(config.batch_size - half, config.keeping * num_old / (config.batch_size - half))
    return (np.concatenate([new, old]) / (num_new + num_old)).astype(np.float32)


def draw_pairs(
    rng: np.random.Generator, chances: np.ndarray, is_new: np.ndarray, config: DistillationConfig
) -> np.ndarray:
    """Returns `[U, B]` int32: pairs for all updates, in the positions that `position_weights` tells.

    Args:
      rng: draws them.
      chances: `[m, R]` float64, with which a policy's information states are drawn; rows sum to 1.
      is_new: `[m]` bool, at least one is True.
      config: the numbers of updates and of pairs in each.
    """
    steps, half = config.gradient_steps, config.batch_size // 2
    # Without earlier policies the second half weighs nothing, whatever is drawn.
    groups = (is_new, ~is_new if (~is_new).any() else is_new)
    parts = []
    for group, size in zip(groups, (half, config.batch_size - half), strict=True):
        ends = np.cumsum(np.where(group[:, None], chances, 0.0))
        # Below the last end, so that rounding never draws a pair of no chance behind it.
        uniform = rng.random((steps, size)) * np.nextafter(ends[-1], 0.0)
        parts.append(np.searchsorted(ends, uniform, side="right"))
    return np.concatenate(parts, axis=1).astype(np.int32)


def observe(places: Places, embeddings: jax.Array, num_players: int, pairs: jax.Array) -> Observation:
    """Returns observations `[B]` at pairs `[B]` of a policy and an information state."""
    rows = places.infoset.shape[1]
    policy, row = pairs // rows, pairs % rows
    infoset = places.infoset[policy, row]
    context = jnp.concatenate(
        [jax.nn.one_hot(places.player[policy], num_players), embeddings[policy]], axis=1
    )
    return Observation(places.info_state[infoset], places.legal_actions[infoset], context)


def log_probs_of(
    network: Network, places: Places, learned: Learned, num_players: int, pairs: jax.Array
) -> jax.Array:
    """Returns log probabilities `[B, A]` at pairs `[B]` of a policy and an information state."""
    observation = observe(places, learned.embeddings, num_players, pairs)
    return masked_log_probs(network.apply(learned.params, observation), observation.legal_actions)


def all_log_probs(network: Network, places: Places, learned: Learned, num_players: int) -> jax.Array:
    """Returns log probabilities `[M, R, A]` of all policies."""
    num, rows = places.infoset.shape

    def of_policy(policy: jax.Array) -> jax.Array:
        return log_probs_of(network, places, learned, num_players, policy * rows + jnp.arange(rows))

    # One policy after the other: all of them at once would need much memory in large games.
    return jax.lax.map(of_policy, jnp.arange(num))


def distil(
    network: Network,
    config: DistillationConfig,
    num_players: int,
    places: Places,
    learned: Learned,
    lesson: Lesson,
) -> Learned:
    """Returns what is learned after all updates. It is pure, to be jitted over the last three arguments."""
    targets = lesson.targets.reshape(-1, lesson.targets.shape[-1])
    chex.assert_equal_shape_prefix([lesson.targets, places.infoset], 2)

    def loss_of(learned: Learned, pairs: jax.Array) -> tuple[jax.Array, None]:
        log_probs = log_probs_of(network, places, learned, num_players, pairs)
        return loss(lesson.weight, targets[pairs], log_probs), None

    rate = optax.linear_schedule(config.learning_rate, config.final_learning_rate, config.gradient_steps)
    optimiser = optax.adam(rate)
    update = make_update(loss_of, optimiser)

    def step(carry: tuple[Learned, Any], pairs: jax.Array) -> tuple[tuple[Learned, Any], None]:
        done = update(*carry, pairs)
        return (done.params, done.optimiser_state), None

    # Steps of the rounds before say nothing of this loss, so that the optimiser begins anew.
    (learned, _), _ = jax.lax.scan(step, (learned, optimiser.init(learned)), lesson.drawn)
    return learned
