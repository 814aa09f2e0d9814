"""What every agent is: a NamedTuple of pure functions over explicit state.

The same `AgentCore` is driven by a jitted loop over a game on the device and, through a learner, by a
replay of actors' experience. Only where a batch comes from differs.

Dimensions: `B` batch, `D` numbers in an information state, `A` actions, `C` numbers of context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Key = jax.Array
Action = jax.Array
State = Any
Variables = Any
Metrics = dict[str, jax.Array]


class Observation(NamedTuple):
    """What a player sees when it acts.

    Attributes:
      info_state: `[.., D]` float32.
      legal_actions: `[.., A]` bool; at least one is true wherever the player acts.
      context: `[.., C]` float32, what a conditional policy is conditioned on; C may be 0.
    """

    info_state: jax.Array
    legal_actions: jax.Array
    context: jax.Array


class Transition(NamedTuple):
    """One decision of the learning player and what came of it.

    Attributes:
      observation: `[B, ..]`.
      action: `[B]` int32.
      reward: `[B]` float32, the sum of what was paid until the player's next decision.
      discount: `[B]` float32; 0 where the episode ended, else the discount of what follows.
      next_observation: `[B, ..]`; anything finite where discount is 0.
      weight: `[B]` float32; 0 for rows to be left out of losses and statistics, else 1.
    """

    observation: Observation
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    next_observation: Observation
    weight: jax.Array


class AgentCore(NamedTuple):
    """An agent.

    Attributes:
      init: key -> State. The state carries parameters, optimiser state, statistics, key and step.
      update: (State, Transition) -> (State, Metrics): one gradient step; the only learning code there is.
      variables: State -> Variables: what an actor needs, batch statistics included.
      act: (Variables, Key, Observation) -> `[B]` int32 actions.
      probs: (Variables, Observation) -> `[B, A]`, exactly 0 on illegal actions.
    """

    init: Callable[[Key], State]
    update: Callable[[State, Transition], tuple[State, Metrics]]
    variables: Callable[[State], Variables]
    act: Callable[[Variables, Key, Observation], Action]
    probs: Callable[[Variables, Observation], jax.Array]
