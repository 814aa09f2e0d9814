"""Interface of every agent: a NamedTuple of pure functions over explicit state.

The same `AgentCore` is driven by a jitted loop over a game on the device and, through a learner, by a
replay of actors' experience. The two differ only in the source of the batches.

Dimensions: `B` batch, `D` numbers in an information state, `A` actions (discrete) or numbers in an action
(continuous), `C` numbers of context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
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
      legal_actions: `[.., A]` bool; at least one is True whenever the player acts.
      context: `[.., C]` float32, the input that a conditional policy is conditioned on. C may be 0.
    """

    info_state: jax.Array
    legal_actions: jax.Array
    context: jax.Array


class Bounds(NamedTuple):
    """Lowest and highest values `[A]` of continuous actions, all finite, lowest first."""

    low: jax.Array
    high: jax.Array


class Transition(NamedTuple):
    """Batch of the learning player's decisions and their outcomes.

    Observations are stored apart from the decisions, which refer to them by row. Networks therefore process
    each of the `U` rows once, even if many decisions share it. If a game has fewer information states than a
    batch has decisions, this saves most of the work. `join` builds the plain case of two rows per decision.

    Attributes:
      observation: `[U, ..]`, all observations made at a decision or right after one: an `Observation` in
        games, any arrays in continuous control.
      now: `[B]` int32, the row observed at the decision.
      then: `[B]` int32, the row observed at the player's next decision; any row if discount is 0.
      action: `[B]` int32, or `[B, A]` float32.
      reward: `[B]` float32, the sum of the rewards received until the player's next decision.
      discount: `[B]` float32; 0 if the episode ended, otherwise the discount of the next value.
      weight: `[B]` float32, not negative: the decision's weight in losses and statistics.
      log_prob: `[B]` float32, logarithm of the probability or density with which the action was chosen;
        None if it was not recorded.
      continues: `[B]` bool, True if the batch's next decision is also the player's next one. None if this
        holds for no decision.
      drawn: `[B, A]` float32, the action as the policy drew it, before it was clipped to its bounds; None if
        it was not recorded.
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
    drawn: jax.Array | None = None


def join(
    observation: Any,
    action: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    next_observation: Any,
) -> Transition:
    """Builds transitions in which every observation has a row of its own.

    Args:
      observation: arrays `[B, ..]`, observed at the decisions.
      action: `[B]` int32, or `[B, A]` float32.
      reward: `[B]` float32.
      discount: `[B]` float32.
      next_observation: arrays `[B, ..]`, observed after the decisions.

    Returns:
      Transitions with `U = 2 B` rows of observations and weight 1.
    """
    chex.assert_equal_shape([reward, discount])
    chex.assert_equal_shape_prefix([action, reward], 1)
    # Rows [0, B) are the decisions' observations and rows [B, 2 B) the next ones.
    rows = jax.tree.map(lambda now, then: jnp.concatenate([now, then]), observation, next_observation)
    index = jnp.arange(action.shape[0])
    weight = jnp.ones_like(reward)
    return Transition(rows, index, index + action.shape[0], action, reward, discount, weight)


class Choice(NamedTuple):
    """Actions within their bounds, and the same actions as they were drawn, both `[B, A]` float32."""

    action: jax.Array
    drawn: jax.Array


# Defaults of an `AgentCore`. They raise when they are called, so that an agent that is never asked for
# probabilities need not have any.
def _no_probabilities(variables: Variables, observation: Observation) -> jax.Array:
    raise ValueError("continuous actions have no probabilities; games need an agent with discrete actions.")


def _no_log_prob(variables: Variables, observation: Any, action: Action) -> jax.Array:
    raise ValueError("this agent does not tell how probable its actions are, so nothing can be reweighted.")


def _no_choice(variables: Variables, key: Key, observation: Any) -> Choice:
    raise ValueError("this agent never draws an action beyond its bounds, so there is nothing to record.")


class Left(NamedTuple):
    """Parameters that a member leaves behind, both nested arrays.

    Attributes:
      network: what later members begin with.
      member: what is the member's own. Weighted means of several members' are allowed in its place.
    """

    network: Any
    member: Any


class Joining(NamedTuple):
    """Functions by which a new member joins a network that earlier ones have learned.

    Attributes:
      leave: State -> Left.
      join: (Key, Left) -> State before learning.
    """

    leave: Callable[[State], Left]
    join: Callable[[Key, Left], State]


class AgentCore(NamedTuple):
    """Functions of an agent.

    Attributes:
      init: key -> State. The state carries parameters, optimiser state, statistics, key and step.
      update: (State, Transition) -> (State, Metrics): one gradient step. No other function learns.
      variables: State -> Variables: the arrays that an actor needs, including batch statistics.
      act: (Variables, Key, Observation) -> actions while learning, with exploration: `[B]` int32 sampled
        from `behaviour`, or `[B, A]` float32 within their bounds.
      perform: (Variables, Key, Observation) -> actions in evaluation mode: sampled from `probs`, or the
        centre of the policy's distribution if actions are continuous.
      behaviour: (Variables, Observation) -> `[B, A]`, probabilities while learning. Raises ValueError if
        actions are continuous.
      probs: (Variables, Observation) -> `[B, A]`, exactly 0 on illegal actions. Raises ValueError
        if actions are continuous.
      log_prob: (Variables, Observation, actions) -> `[B]`, logarithm of the probability or density with which
        they are drawn. Actions are those of `act`, or as they were drawn if `choose` tells. Raises ValueError
        if the agent does not implement it.
      choose: (Variables, Key, Observation) -> `Choice`, the action of `act` and the action before it was
        clipped, both in the environment's units. Raises ValueError if the agent does not clip actions.
      joining: begins members in a network that is there already; None if the agent has no single member whose
        parameters could be told from the others'.
    """

    init: Callable[[Key], State]
    update: Callable[[State, Transition], tuple[State, Metrics]]
    variables: Callable[[State], Variables]
    act: Callable[[Variables, Key, Any], Action]
    perform: Callable[[Variables, Key, Any], Action]
    behaviour: Callable[[Variables, Observation], jax.Array] = _no_probabilities
    probs: Callable[[Variables, Observation], jax.Array] = _no_probabilities
    log_prob: Callable[[Variables, Any, Action], jax.Array] = _no_log_prob
    choose: Callable[[Variables, Key, Any], Choice] = _no_choice
    joining: Joining | None = None
