"""What MPO's losses have in common, whichever kind of actions and whichever judgement of them.

Dimensions: `B` decisions, `U` observations, `R` observations that the policy is fitted at, `A` actions
(discrete) or numbers in an action (continuous), `N` sampled actions, `Z` atoms, `D` dimensions of a
constraint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.conditional_mpo import improvement, targets
from agents.conditional_mpo.conditioning import member_of
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.networks import MPONetworks
from agents.core import Observation, Transition
from agents.networks import shares


class Setting(NamedTuple):
    """What the losses of one agent are bound to."""

    networks: MPONetworks
    config: ConditionalMPOConfig


class Judges(NamedTuple):
    """Parameters of what actions are judged by: target networks, or V-MPO's online value."""

    policy: Any
    critic: Any


class Judged(NamedTuple):
    """What the policy learns from: actions at the batch's decisions, judged. Nothing in it has a gradient.

    Attributes:
      prior: the target policy's distributions at `[R]` observations.
      observation: `[R, ..]`.
      share: `[R]`, how much each counts; sums to 1, or to 0 where nothing counts.
      member: `[R]` int32, whose observation it is.
      value: what the policy is improved by: `[R, A]` or `[N, R]` values of actions, or `[B]` advantages.
      action: what `value` is of where that is not all actions: `[N, R, A]` drawn or `[B, ..]` taken ones.
    """

    prior: Any
    observation: Any
    share: jax.Array
    member: jax.Array
    value: jax.Array
    action: Any


class Judgement(NamedTuple):
    """What target networks, or V-MPO's value, say of a batch of decisions.

    Attributes:
      target: `[B]` or `[B, Z]`, what the critic is to say of the actions taken.
      judged: gives what the policy learns from; what only that needs is computed where it is called.
    """

    target: jax.Array
    judged: Callable[[], Judged]


class Constraint(NamedTuple):
    """A temperature `[R]` or `[B]`, its normaliser (with the gradient in it) and the bound it keeps."""

    temperature: jax.Array
    log_normaliser: jax.Array
    epsilon: float
    share: jax.Array


class Improvement(NamedTuple):
    """What an E-step gives: the weights of actions, without gradient, and what its temperatures learn by."""

    weights: jax.Array
    constraints: tuple[Constraint, ...]


class Kind(NamedTuple):
    """What depends on the kind of actions.

    Attributes:
      distribution: (setting, policy params, observations `[R, ..]`) -> distributions.
      kls: (setting, prior, online) -> KL from the prior, `[R, D]` for every constraint, as `bounds` names.
      bounds: config -> {name: epsilon} of the constraints.
      entropy: distributions -> `[R]`, in nats.
      log_prob: (setting, prior, online, actions `[B, ..]`) -> `[B]`, what V-MPO raises; `R` is `B` then.
      critic: (setting, critic params, transition) -> `[B, Z]`, what the critic says of the actions taken.
      judge: (setting, Judges, key, transition) -> Judgement; MPO's.
      improve: (setting, Judged, duals `[R]`) -> Improvement; MPO's.
      fit: (setting, prior, online, Judged, weights) -> `[]`, cross entropy of the improved policy; MPO's.
    """

    distribution: Callable[[Setting, Any, Any], Any]
    kls: Callable[[Setting, Any, Any], tuple[jax.Array, ...]]
    bounds: Callable[[ConditionalMPOConfig], dict[str, float]]
    entropy: Callable[[Any], jax.Array]
    log_prob: Callable[[Setting, Any, Any, jax.Array], jax.Array]
    critic: Callable[[Setting, Any, Transition], jax.Array]
    judge: Callable[[Setting, Judges, jax.Array, Transition], Judgement]
    improve: Callable[[Setting, Judged, Duals], Improvement]
    fit: Callable[[Setting, Any, Any, Judged, jax.Array], jax.Array]


def scalar_target(
    setting: Setting,
    batch: Transition,
    q_taken: jax.Array,
    next_value: jax.Array,
    log_prob_taken: Callable[[], jax.Array] | None = None,
) -> jax.Array:
    """`[B]`: one step (or as many as the replay sums up) and a value, or Retrace over several.

    Args:
      q_taken: `[B]`, values of the actions taken.
      next_value: `[B]`; may be anything where the episode ended.
      log_prob_taken: gives `[B]`, log probabilities of the actions taken under the target policy; for
        Retrace.

    Raises:
      ValueError: Retrace without what replay has to keep for it.
    """
    config = setting.config
    discounts = config.discount * batch.discount
    reward = config.reward_scale * batch.reward
    following = jnp.where(discounts > 0, next_value, 0.0)
    if not config.retrace:
        return reward + discounts * following
    if log_prob_taken is None or batch.log_prob is None or batch.continues is None:
        raise ValueError(
            "Retrace needs sequences with the probabilities of their actions: give the replay a "
            "sequence_length above 1, or set retrace=False."
        )
    ratio = log_prob_taken() - batch.log_prob
    return targets.retrace(
        q_taken, following, reward, discounts, ratio, batch.continues, config.retrace_lambda
    )


def critic_loss(
    params: Any, setting: Setting, kind_critic: Callable[..., jax.Array], target: jax.Array, batch: Transition
) -> tuple[jax.Array, jax.Array]:
    """Half the mean squared error, or the cross entropy of a categorical critic; and the mean value.

    Returns:
      (loss, `[]` mean value of the actions taken).
    """
    output = kind_critic(setting, params, batch)
    share = shares(batch.weight)
    q = expectation(setting.config, output)
    target = jax.lax.stop_gradient(target)
    if target.ndim == 2:
        loss = jnp.sum(share * optax.softmax_cross_entropy(output, target))
    else:
        loss = 0.5 * jnp.sum(share * jnp.square(q - target))
    return loss, jnp.sum(share * q)


def expectation(config: ConditionalMPOConfig, output: jax.Array) -> jax.Array:
    """`[..]` values of a critic's output `[.., Z]`."""
    if config.num_atoms == 1:
        return output[..., 0]
    return targets.expectation(output, targets.atoms(config))


def penalties(
    kls: tuple[jax.Array, ...], duals: Duals, bounds: dict[str, float], share: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What the policy pays for its distance from the prior, and what the multipliers learn by.

    Returns:
      (penalty `[]` with a gradient in the distances, loss `[]` with a gradient in the multipliers).
    """
    pairs = [
        improvement.constraint_loss(kl, alpha, epsilon, share)
        for kl, alpha, epsilon in zip(kls, duals.alphas, bounds.values(), strict=True)
    ]
    penalty, dual_loss = (jnp.stack(each).sum() for each in zip(*pairs, strict=True))
    return penalty, dual_loss


def take(observation: Any, index: jax.Array) -> Any:
    """Rows of observations `[U, ..]`."""
    return jax.tree.map(lambda leaf: leaf[index], observation)


def members(config: ConditionalMPOConfig, observation: Any, num_rows: int) -> jax.Array:
    """`[R]` int32: whose observations they are; all the first member's where there is no context."""
    if isinstance(observation, Observation):
        return member_of(config, observation.context)
    return jnp.zeros(num_rows, jnp.int32)
