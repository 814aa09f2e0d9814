"""Messages between the parts of a program on Ray, all of arrays and numbers.

Dimensions: `T` steps, `E` games, `D` numbers in an observation, `A` actions, `n` decisions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from agents.core import Observation, Transition, join

# Leaves of a state or of variables, in the order of `jax.tree.leaves`.
Leaves = list[np.ndarray]


class Experience(NamedTuple):
    """Decisions of an actor in its games, in the order in which they were made.

    Attributes:
      info_state: `[T + 1, E, D]` float32, observed at the decisions and after the last of them.
      legal_actions: `[T + 1, E, A]` bool.
      action: `[T, E]` int32.
      reward: `[T, E]` float32, until the next decision.
      last: `[T, E]` bool, True if the episode ended; the next observation is then of another episode.
      episodes: rows of the episodes that ended, see `agents.episode_statistics`.
    """

    info_state: np.ndarray
    legal_actions: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    last: np.ndarray
    episodes: list[dict[str, Any]]


class Decision(NamedTuple):
    """Decisions in replay, each with the observation after it.

    Attributes:
      info_state: `[n, D]` float32.
      legal_actions: `[n, A]` bool.
      action: `[n]` int32.
      reward: `[n]` float32.
      discount: `[n]` float32; 0 if the episode ended.
      next_info_state: `[n, D]` float32.
      next_legal_actions: `[n, A]` bool.
    """

    info_state: Any
    legal_actions: Any
    action: Any
    reward: Any
    discount: Any
    next_info_state: Any
    next_legal_actions: Any


class Answer(NamedTuple):
    """Answer of the learner to a message of an actor.

    Attributes:
      version: number of the newest variables.
      variables: a reference to their leaves in the object store; None if the actor has them already.
      has_ended: True if the actor is to stop.
    """

    version: int
    variables: Any
    has_ended: bool


class Report(NamedTuple):
    """State of the learner.

    Attributes:
      counts: counts of steps, episodes and seconds of the whole run, by name.
      learner: the newest row of the learner's table; None before the first step.
      actors: the newest row of each actor's table, by the actor's number.
      messages: number of messages of each actor, by the actor's number.
      first_step: when the process began, the learner was made and its first step was done, in seconds since
        the epoch; None before that.
      has_ended: True if all decisions are made and learned from, or the learner was asked to end.
    """

    counts: dict[str, float]
    learner: dict[str, float] | None
    actors: dict[int, dict[str, float]]
    messages: dict[int, int]
    first_step: tuple[float, float, float] | None
    has_ended: bool


def to_decisions(experience: Experience, nothing: Observation) -> Decision:
    """Converts an actor's message to the `n = T E` decisions that replay keeps.

    Args:
      experience: the message.
      nothing: the observation at the end of an episode, without an axis of games.
    """
    last = experience.last[..., None]
    following = np.where(last, np.asarray(nothing.info_state), experience.info_state[1:])
    following_legal = np.where(last, np.asarray(nothing.legal_actions), experience.legal_actions[1:])
    columns = Decision(
        experience.info_state[:-1],
        experience.legal_actions[:-1],
        experience.action,
        experience.reward,
        (~experience.last).astype(np.float32),
        following.astype(np.float32, copy=False),
        following_legal.astype(bool, copy=False),
    )
    return Decision(*(column.reshape((-1, *column.shape[2:])) for column in columns))


def to_transition(decision: Decision) -> Transition:
    """Converts decisions `[n, ..]` to the agent's transitions. It runs inside jit."""
    context = jnp.zeros((decision.reward.shape[0], 0))
    return join(
        Observation(decision.info_state, decision.legal_actions, context),
        decision.action,
        decision.reward,
        decision.discount,
        Observation(decision.next_info_state, decision.next_legal_actions, context),
    )
