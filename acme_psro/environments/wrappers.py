"""What is put around environments so that agents can take them as they come.

The only module of environments that imports Acme: Acme's own wrappers do what they can.
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
    """Something that is no number, or infinite, went into an environment or came out of it."""


class FiniteWrapper(wrappers.EnvironmentWrapper):
    """Stops at the first NaN or infinity, before it is learnt from.

    Args:
      environment: what is wrapped.
      name: of the environment, for the message.

    `reset` and `step` raise a NonFiniteError.
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
        if timestep.first():
            self._episode, self._step = self._episode + 1, 0
        self._refuse("reward", timestep.reward)
        self._refuse("observation", timestep.observation)
        return timestep

    def _refuse(self, field: str, value: Any) -> None:
        if isinstance(value, Observation):
            for name, each in zip(value._fields, value, strict=True):
                self._refuse(f"{field}.{name}", each)
        elif not _finite(value):
            raise NonFiniteError(
                f"{self._name}: {field} is NaN or infinite at step {self._step} of episode {self._episode}."
            )


def _finite(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def canonical(environment: dm_env.Environment, name: str) -> dm_env.Environment:
    """Continuous control in float32: one flat observation, and actions from -1 to 1, clipped to them.

    Discrete actions stay as they are.

    Args:
      environment: with an observation of flat arrays, one or a dict of them.
      name: of the environment, for messages.
    """
    if isinstance(environment.observation_spec(), Mapping):
        environment = wrappers.ConcatObservationWrapper(environment)
    if not isinstance(environment.action_spec(), specs.DiscreteArray):
        environment = wrappers.CanonicalSpecWrapper(environment, clip=True)
    return FiniteWrapper(wrappers.SinglePrecisionWrapper(environment), name)
