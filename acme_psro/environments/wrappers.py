"""Wrappers that give all environments specs which agents support, detect NaN and infinity, and add contexts.

Acme's own wrappers are used as far as possible. No other module of `acme_psro.environments` imports Acme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split
import dm_env
import numpy as np
from acme import wrappers
from dm_env import specs

from acme_psro.environments.errors import NonFiniteError as NonFiniteError
from agents.core import Observation


class FiniteWrapper(wrappers.EnvironmentWrapper):
    """Wrapper whose `reset` and `step` raise a `NonFiniteError` at the first NaN or infinity.

    The error comes before the value reaches an agent, and a non-finite action does not reach the environment.

    Args:
      environment: the environment to wrap.
      name: name of the environment, for the error message.
    """

    def __init__(self, environment: dm_env.Environment, name: str) -> None:
        super().__init__(environment)
        self._name = name
        self._episode = 0
        self._step = 0

    def reset(self) -> dm_env.TimeStep:
        return self._checked(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        self._step += 1
        self._refuse("action", action)
        return self._checked(self._environment.step(action))

    def _checked(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        """Returns `timestep` if its reward and observation are finite, and raises an error otherwise."""
        # `step` also begins an episode if it is called after the end of one, so that this is not in `reset`.
        if timestep.first():
            self._episode, self._step = self._episode + 1, 0
        self._refuse("reward", timestep.reward)
        self._refuse("observation", timestep.observation)
        return timestep

    def _refuse(self, field: str, value: Any) -> None:
        """Raises a NonFiniteError that names the field if `value` is not finite."""
        if isinstance(value, Observation):
            for name, each in zip(value._fields, value, strict=True):
                self._refuse(f"{field}.{name}", each)
        elif not _finite(value):
            raise NonFiniteError(
                f"{self._name}: {field} is NaN or infinite at step {self._step} of episode {self._episode}."
            )


def _finite(value: Any) -> bool:
    """Returns True if `value` has no NaN and no infinity. Values that are not floats always pass."""
    array = np.asarray(value)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def canonical(environment: dm_env.Environment, name: str) -> dm_env.Environment:
    """Wraps an environment to have one flat observation and actions from -1 to 1, all in float32.

    Continuous actions outside this interval are clipped. Discrete actions stay as they are. The result is a
    `FiniteWrapper`.

    Args:
      environment: an environment whose observation is a flat array or a dict of flat arrays.
      name: name of the environment, for error messages.
    """
    if isinstance(environment.observation_spec(), Mapping):
        environment = wrappers.ConcatObservationWrapper(environment)
    if not isinstance(environment.action_spec(), specs.DiscreteArray):
        environment = wrappers.CanonicalSpecWrapper(environment, clip=True)
    # Outermost, because the conversion to float32 can overflow to infinity.
    return FiniteWrapper(wrappers.SinglePrecisionWrapper(environment), name)


class ObservationWithContext(NamedTuple):
    """Observation of an environment that has no fields of its own, and the context beside it.

    Attributes:
      observation: observation of the environment, an array or a tree of arrays.
      context: context of the member that acts, `[C]` float32.
    """

    observation: Any
    context: Any


class MemberWrapper(wrappers.EnvironmentWrapper):
    """Wrapper for agents whose one network holds many policies: it shows whose turn it is.

    For each episode it draws a member, uniformly at random, and extends every observation of the episode by
    the member's context. Agents find it in the field `context`. An observation that is an
    `agents.core.Observation` keeps its other fields; Acme's `OLT` becomes such an observation, and any other
    observation an `ObservationWithContext`.

    To let one member act, for example in evaluations, give only its row of contexts.

    Args:
      environment: environment whose observations have no context yet.
      contexts: contexts of the members, `[M, C]`, for example those of
        `agents.conditional_mpo.conditioning.make_contexts`.
      seed: seed of the drawn members.

    Raises:
      ValueError: the contexts are not a table of finite numbers, or the observations have a context already.
    """

    def __init__(self, environment: dm_env.Environment, contexts: np.ndarray, seed: int) -> None:
        super().__init__(environment)
        contexts = np.asarray(contexts, np.float32)
        if contexts.ndim != 2 or not len(contexts):
            raise ValueError(
                f"contexts must be a table with a row for each member, not of shape {contexts.shape}."
            )
        if not np.isfinite(contexts).all():
            raise ValueError("contexts must be finite numbers.")
        shown = getattr(environment.observation_spec(), "context", None)
        if shown is not None and shown.shape != (0,):
            raise ValueError(
                f"the environment's observations have a context already, of shape {shown.shape}."
            )
        self._contexts = contexts
        self._rng = np.random.default_rng(seed)
        self._member = 0

    @property
    def member(self) -> int:
        """Index of the member that acts in the current episode."""
        return self._member

    def reset(self) -> dm_env.TimeStep:
        return self._show(self._environment.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._show(self._environment.step(action))

    def observation_spec(self) -> Any:
        context = specs.Array(self._contexts.shape[1:], np.float32, "context")
        return _add_context(self._environment.observation_spec(), context)

    def _show(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        """Adds the context to an observation, after drawing a member if an episode begins."""
        # `step` also begins an episode if it is called after the end of one, so that this is not in `reset`.
        if timestep.first():
            self._member = int(self._rng.integers(len(self._contexts)))
        return timestep._replace(
            observation=_add_context(timestep.observation, self._contexts[self._member].copy())
        )


def _add_context(observation: Any, context: Any) -> Any:
    """Returns an observation, or the spec of one, with a context."""
    if isinstance(observation, Observation):
        return observation._replace(context=context)
    # Acme's `OLT`. Its module would import OpenSpiel, so it is recognised by its fields.
    if hasattr(observation, "observation") and hasattr(observation, "legal_actions"):
        return Observation(observation.observation, observation.legal_actions, context)
    return ObservationWithContext(observation, context)
