"""Adapter from Gymnasium's environments to dm_env."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import logging
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces


class GymnasiumWrapper(dm_env.Environment):
    """A Gymnasium environment as a dm_env environment, with flat observations in float32.

    The last discount is 0 if the episode terminates, and 1 if it is truncated, for example by a limit on the
    number of steps. An episode that does both at once counts as terminated.

    Args:
      environment: a Gymnasium environment whose observation space is a flat Box, and whose action space is a
        bounded flat Box or Discrete.
      seed: seed of the environment's own random number generator.

    Raises:
      ValueError: the environment has another observation space or action space.
    """

    def __init__(self, environment: gymnasium.Env, seed: int) -> None:
        self._environment = environment
        self._observation_spec = _observation_spec(environment.observation_space)
        self._action_spec = _action_spec(environment.action_space)
        self._first_action = getattr(environment.action_space, "start", 0)
        self._seed: int | None = seed
        self._over = True

    def reset(self) -> dm_env.TimeStep:
        # Gymnasium restarts its generator whenever it receives a seed. Only the first reset passes one, as
        # otherwise all episodes would be equal.
        observation, _ = self._environment.reset(seed=self._seed)
        self._seed, self._over = None, False
        return dm_env.restart(np.asarray(observation, np.float32))

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._over:
            return self.reset()
        if isinstance(self._action_spec, specs.DiscreteArray):
            # The actions of dm_env count from 0, and those of a Discrete space from its `start`.
            action = int(action) + self._first_action
        observation, reward, terminated, truncated, _ = self._environment.step(action)
        self._over = terminated or truncated
        return dm_env.TimeStep(
            dm_env.StepType.LAST if self._over else dm_env.StepType.MID,
            np.float32(reward),
            np.float32(not terminated),
            np.asarray(observation, np.float32),
        )

    def observation_spec(self) -> specs.Array:
        return self._observation_spec

    def action_spec(self) -> specs.BoundedArray:
        return self._action_spec

    def reward_spec(self) -> specs.Array:
        return specs.Array((), np.float32, "reward")

    def discount_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((), np.float32, 0.0, 1.0, "discount")

    def close(self) -> None:
        self._environment.close()


def make(name: str, seed: int) -> GymnasiumWrapper:
    """Makes an environment from Gymnasium's registry.

    Args:
      name: ID of the environment, or `MODULE:ID` if a module has to be imported to register it.
      seed: seed of the environment's own random number generator.

    Raises:
      ValueError: the environment does not exist, a package that it needs is not installed, or its spaces are
        not supported.
    """
    _take_mujoco_warnings()
    try:
        environment = gymnasium.make(name, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        unknown = isinstance(error, gymnasium.error.UnregisteredEnv)
        near = difflib.get_close_matches(name, gymnasium.registry) if unknown else []
        reason = f"did you mean {', '.join(near)}?" if near else " ".join(str(error).split())
        raise ValueError(f"cannot make gymnasium:{name}: {reason}") from None
    try:
        return GymnasiumWrapper(environment, seed)
    except ValueError as error:
        environment.close()
        raise ValueError(f"cannot use gymnasium:{name}: {error}") from None


def _take_mujoco_warnings() -> None:
    """Sends MuJoCo's warnings to the logs.

    Without a handler, MuJoCo writes its warnings to a file in the working directory.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("mujoco").set_mju_user_warning(_log_mujoco)


def _log_mujoco(message: str) -> None:
    """Logs a warning of MuJoCo."""
    # Deprecations concern the authors of a task's model, not its users.
    level = logging.DEBUG if "deprecated" in message else logging.WARNING
    logging.getLogger("mujoco").log(level, message.strip())


def _observation_spec(space: spaces.Space) -> specs.Array:
    """Converts an observation space; raises a ValueError if it is not supported."""
    # The spec has no bounds, because the observations of some environments leave the bounds of their space.
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return specs.Array(space.shape, np.float32, "observation")
    raise ValueError(f"its observations are {_short(space)}; only a flat Box is supported.")


def _action_spec(space: spaces.Space) -> specs.BoundedArray:
    """Converts an action space; raises a ValueError if it is not supported."""
    if isinstance(space, spaces.Discrete):
        return specs.DiscreteArray(int(space.n), np.int32, "action")
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.is_bounded("both"):
        return specs.BoundedArray(space.shape, np.float32, space.low, space.high, "action")
    raise ValueError(f"its actions are {_short(space)}; only Discrete and a bounded flat Box are supported.")


def _short(space: spaces.Space) -> str:
    """Describes a space in one line of at most 200 characters, for error messages."""
    return " ".join(str(space).split())[:200]
