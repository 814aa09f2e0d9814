"""Wrappers that give all environments specs which agents support, and that detect NaN and infinity.

Acme's own wrappers are used as far as possible. No other module of `acme_psro.environments` imports Acme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split
import dm_env
import numpy as np
from acme import wrappers
from dm_env import specs

from agents.core import Observation


class NonFiniteError(RuntimeError):
    """An action, reward or observation of an environment is NaN or infinite."""


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
