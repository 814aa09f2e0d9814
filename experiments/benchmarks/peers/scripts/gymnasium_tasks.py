"""Control tasks `gymnasium:ID` and `dm_control:DOMAIN:TASK` as Gymnasium environments, for sbx-rl.

The tasks are the same as those of `acme_psro.environments.by_name`, which needs Acme. Observations are flat
float32 arrays in dm_control's order, and an episode that reaches its time limit is truncated, not terminated.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Info = dict[str, Any]


class ControlSuiteTask(gymnasium.Env):
    """Task of dm_control's suite as a Gymnasium environment."""

    def __init__(self, domain: str, task: str, seed: int) -> None:
        with warnings.catch_warnings():
            # dm_control warns if there is no display, but only rendering needs one.
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
        """Begins an episode. The arguments are ignored: the seed was given to the constructor."""
        del seed, options
        return _flat(self._environment.reset()), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Returns observation, reward, terminated, truncated and an empty dictionary."""
        step = self._environment.step(action)
        terminated = bool(step.last() and step.discount == 0)
        return _flat(step), float(step.reward), terminated, bool(step.last()) and not terminated, {}


def _flat(step: Any) -> np.ndarray:
    (values,) = step.observation.values()
    return np.asarray(values, np.float32)


class _Seeded(gymnasium.Wrapper):
    """Wrapper that seeds only the first `reset`, and ignores the caller's seeds."""

    def __init__(self, environment: gymnasium.Env, seed: int) -> None:
        super().__init__(environment)
        self._seed: int | None = seed

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Begins an episode. `seed` is ignored."""
        seed, self._seed = self._seed, None
        return super().reset(seed=seed, options=options)


def make(name: str, seed: int) -> gymnasium.Env:
    """Makes the environment with this name.

    Raises:
      ValueError: the name does not begin with one of the two suites.
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
