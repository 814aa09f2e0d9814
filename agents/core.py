"""Interface of every agent: a NamedTuple of pure functions over explicit state.

The same `AgentCore` is driven by a jitted loop over a game on the device and, through a learner, by a
replay of actors' experience. Only where a batch comes from differs.

Dimensions: `B` batch, `D` numbers in an information state, `A` actions (discrete) or numbers in an action
(continuous), `C` numbers of context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Key = jax.Array
Action = jax.Array
State = Any
Variables = Any
Metrics = dict[str, jax.Array]


class Observation(NamedTuple):
    """A player's observation when it acts.

    Attributes:
      info_state: `[.., D]` float32.
      legal_actions: `[.., A]` bool; at least one is true wherever the player acts.
      context: `[.., C]` float32, what a conditional policy is conditioned on; C may be 0.
    """

    info_state: jax.Array
    legal_actions: jax.Array
    context: jax.Array


class Bounds(NamedTuple):
    """Lowest and highest values `[A]` of continuous actions, all finite, lowest first."""

    low: jax.Array
    high: jax.Array


class Transition(NamedTuple):
    """A batch of decisions of the learning player, and what came of them.

    Observations stand apart from the decisions that refer to them, so that networks see each of `U` rows
    once, however many decisions share it: where a game has fewer information states than a batch has
    decisions, that is most of the work saved. `join` makes the plain case, two rows a decision.

    Attributes:
      observation: `[U, ..]`, everything observed at a decision or right after one: an `Observation` in
        games, any arrays in continuous control.
      now: `[B]` int32, the row observed at the decision.
      then: `[B]` int32, the row observed at the player's next decision; any row where discount is 0.
      action: `[B]` int32, or `[B, A]` float32.
      reward: `[B]` float32, the sum of what was paid until the player's next decision.
      discount: `[B]` float32; 0 where the episode ended, else the discount of what follows.
      weight: `[B]` float32, not negative: how much a decision counts in losses and statistics.
      log_prob: `[B]` float32, logarithm of the probability or density with which the action was chosen;
        None where nobody kept it.
      continues: `[B]` bool, whether the batch's next decision is also the player's next one; None where
        none is.
    """

    observation: Any
    now: jax.Array
    then: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    weight: jax.Array
    log_prob: jax.Array | None = None
    continues: jax.Array | None = None


def join(
    observation: Any,
    action: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    next_observation: Any,
) -> Transition:
    """Transitions from observations `[B, ..]` and next observations `[B, ..]`, each a row of its own."""
    rows = jax.tree.map(lambda now, then: jnp.concatenate([now, then]), observation, next_observation)
    index = jnp.arange(action.shape[0])
    weight = jnp.ones_like(reward)
    return Transition(rows, index, index + action.shape[0], action, reward, discount, weight)


def _no_probabilities(variables: Variables, observation: Observation) -> jax.Array:
    raise ValueError("continuous actions have no probabilities; games need an agent with discrete actions.")


def _no_log_prob(variables: Variables, observation: Any, action: Action) -> jax.Array:
    raise ValueError("this agent does not tell how probable its actions are, so nothing can be reweighted.")


class AgentCore(NamedTuple):
    """An agent.

    Attributes:
      init: key -> State. The state carries parameters, optimiser state, statistics, key and step.
      update: (State, Transition) -> (State, Metrics): one gradient step; the only learning code there is.
      variables: State -> Variables: what an actor needs, batch statistics included.
      act: (Variables, Key, Observation) -> how to act while learning, exploration included: `[B]` int32
        actions drawn from `behaviour`, or `[B, A]` float32 within their bounds.
      perform: (Variables, Key, Observation) -> how to act when judged: actions drawn from `probs`, or the
        middle of the policy's distribution where actions are continuous.
      behaviour: (Variables, Observation) -> `[B, A]`, probabilities while learning; ValueError where actions
        are continuous.
      probs: (Variables, Observation) -> `[B, A]`, exactly 0 on illegal actions; ValueError likewise.
      log_prob: (Variables, Observation, actions as `act` gives them) -> `[B]`, logarithm of the probability
        or density with which `act` chooses them; ValueError where an agent has no need for it.
    """

    init: Callable[[Key], State]
    update: Callable[[State, Transition], tuple[State, Metrics]]
    variables: Callable[[State], Variables]
    act: Callable[[Variables, Key, Any], Action]
    perform: Callable[[Variables, Key, Any], Action]
    behaviour: Callable[[Variables, Observation], jax.Array] = _no_probabilities
    probs: Callable[[Variables, Observation], jax.Array] = _no_probabilities
    log_prob: Callable[[Variables, Any, Action], jax.Array] = _no_log_prob
