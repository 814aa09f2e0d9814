"""Continuous control as sbx-rl takes it: `gymnasium:ID` and `dm_control:DOMAIN:TASK`.

The same tasks as `acme_psro.environments.by_name` makes, which needs Acme: flat float32 observations in
dm_control's own order, and episodes that run into their time limit are truncated, not terminated.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Info = dict[str, Any]


class ControlSuiteTask(gymnasium.Env):
    """A task of dm_control's suite."""

    def __init__(self, domain: str, task: str, seed: int) -> None:
        with warnings.catch_warnings():
            # Where there is no display; one is needed for pictures only.
            warnings.simplefilter("ignore")
            from dm_control import suite
        self._environment: Any = suite.load(
            domain, task, task_kwargs={"random": seed}, environment_kwargs={"flat_observation": True}
        )
        (observations,) = self._environment.observation_spec().values()
        self.observation_space = spaces.Box(-np.inf, np.inf, observations.shape, np.float32)
        actions = self._environment.action_spec()
        low, high = (np.broadcast_to(bound, actions.shape) for bound in (actions.minimum, actions.maximum))
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Begins an episode; the seed was given when the task was made."""
        del seed, options
        return _flat(self._environment.reset()), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Observation, reward, whether it terminated, whether it was truncated, and nothing."""
        step = self._environment.step(action)
        terminated = bool(step.last() and step.discount == 0)
        return _flat(step), float(step.reward), terminated, bool(step.last()) and not terminated, {}


def _flat(step: Any) -> np.ndarray:
    (values,) = step.observation.values()
    return np.asarray(values, np.float32)


class _Seeded(gymnasium.Wrapper):
    """The first `reset` is seeded, by us alone."""

    def __init__(self, environment: gymnasium.Env, seed: int) -> None:
        super().__init__(environment)
        self._seed: int | None = seed

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Begins an episode."""
        seed, self._seed = self._seed, None
        return super().reset(seed=seed, options=options)


def make(name: str, seed: int) -> gymnasium.Env:
    """The environment of that name.

    Raises:
      ValueError: the name begins with neither suite.
    """
    suite, _, rest = name.partition(":")
    if suite == "dm_control":
        domain, _, task = rest.partition(":")
        return ControlSuiteTask(domain, task, seed)
    if suite == "gymnasium":
        made = gymnasium.make(rest, disable_env_checker=True)
        space = spaces.Box(-np.inf, np.inf, made.observation_space.shape, np.float32)
        return _Seeded(gymnasium.wrappers.TransformObservation(made, np.float32, space), seed)
    raise ValueError(f"no task {name!r}: use dm_control:DOMAIN:TASK or gymnasium:ID.")
