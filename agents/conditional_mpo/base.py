"""Records and helpers that MPO's losses share, for both kinds of actions and for V-MPO.

Dimensions: `B` decisions, `U` observations, `R` observations that the policy is fitted at, `A` actions
(discrete) or numbers in an action (continuous), `N` sampled actions, `Z` atoms, `D` dimensions of a
constraint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.conditional_mpo.conditioning import member_of
from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.duals import Duals
from agents.conditional_mpo.networks import MPONetworks
from agents.core import Observation, Transition

# Log probabilities below this one belong to illegal actions, whose logits are masked with about -1e9.
ILLEGAL_LOG_PROB = -1e8


class Model(NamedTuple):
    """Networks and configuration, shared by all losses of an agent."""

    networks: MPONetworks
    config: ConditionalMPOConfig


class EvaluationParams(NamedTuple):
    """Parameters that actions are evaluated with.

    Attributes:
      policy: the target policy's parameters.
      critic: the target critic's parameters, or those of V-MPO's online value.
    """

    policy: Any
    critic: Any


class PolicyBatch(NamedTuple):
    """Input of the E-step and the M-step: evaluated actions at the batch's decisions, without gradients.

    Attributes:
      prior: the target policy's distributions at `[R]` observations.
      observation: `[R, ..]`.
      share: `[R]`, how much each observation counts. Sums to 1, or to 0 if no decision counts.
      member: `[R]` int32, index of the member that acts at the observation.
      value: objective of the E-step: `[R, A]` or `[N, R]` action values, or `[B]` advantages.
      action: actions that `value` belongs to: `[N, R, A]` sampled or `[B, ..]` taken ones; None if `value`
        has an entry for every action.
    """

    prior: Any
    observation: Any
    share: jax.Array
    member: jax.Array
    value: jax.Array
    action: Any


class Evaluation(NamedTuple):
    """Result of evaluating a batch of decisions with the target networks, or with V-MPO's value.

    Attributes:
      target: `[B]` or `[B, Z]`, the critic's targets for the actions taken.
      policy_batch: function that returns the policy's input. Work that only the policy needs is done when it
        is called, so that updates of the critic alone do not pay for it.
    """

    target: jax.Array
    policy_batch: Callable[[], PolicyBatch]


class Constraint(NamedTuple):
    """KL constraint of an E-step.

    Attributes:
      temperature: `[R]` or `[B]`, Lagrange multiplier of the constraint.
      log_normaliser: `[R]`, `[B]` or `[]`, with a gradient in the temperature.
      epsilon: bound of the KL, in nats.
      share: `[R]` or `[B]`, how much each row counts.
    """

    temperature: jax.Array
    log_normaliser: jax.Array
    epsilon: float
    share: jax.Array


class Improvement(NamedTuple):
    """Result of an E-step.

    Attributes:
      weights: `[R, A]`, `[N, R]` or `[B]`, the improved policy as weights, without gradient.
      constraints: the KL constraints that the temperatures are learned from.
    """

    weights: jax.Array
    constraints: tuple[Constraint, ...]


class Actions(NamedTuple):
    """Functions that depend on the kind of actions, discrete or continuous.

    Attributes:
      distribution: (model, policy params, observations `[R, ..]`) -> distributions.
      kls: (model, prior, online) -> KL from the prior, one `[R, D]` for each constraint in `bounds`.
      bounds: config -> {name: epsilon} of the M-step's constraints.
      entropy: distributions -> `[R]`, in nats.
      log_prob: (model, prior, online, actions `[B, ..]`) -> `[B]`, the log probabilities that V-MPO
        maximises; `R` is `B` then.
      critic: (model, critic params, transition) -> `[B, Z]`, the critic's outputs for the actions taken.
      evaluate: (model, EvaluationParams, key, transition) -> Evaluation; for MPO.
      drawn: transition -> `[B, ..]`, the actions taken as the policy drew them; for V-MPO.
      improve: (model, PolicyBatch, duals `[R]`) -> Improvement; the E-step of MPO.
      fit: (model, prior, online, PolicyBatch, weights) -> `[]`, cross entropy of the improved policy; the
        objective of MPO's M-step.
    """

    distribution: Callable[[Model, Any, Any], Any]
    kls: Callable[[Model, Any, Any], tuple[jax.Array, ...]]
    bounds: Callable[[ConditionalMPOConfig], dict[str, float]]
    entropy: Callable[[Any], jax.Array]
    log_prob: Callable[[Model, Any, Any, jax.Array], jax.Array]
    critic: Callable[[Model, Any, Transition], jax.Array]
    evaluate: Callable[[Model, EvaluationParams, jax.Array, Transition], Evaluation]
    drawn: Callable[[Transition], jax.Array]
    improve: Callable[[Model, PolicyBatch, Duals], Improvement]
    fit: Callable[[Model, Any, Any, PolicyBatch, jax.Array], jax.Array]


def members(config: ConditionalMPOConfig, observation: Any, num_rows: int) -> jax.Array:
    """Returns `[R]` int32, the acting members' indices; all 0 if observations have no context."""
    # Observations of continuous control are plain arrays unless there is a context.
    if isinstance(observation, Observation):
        return member_of(config, observation.context)
    return jnp.zeros(num_rows, jnp.int32)
