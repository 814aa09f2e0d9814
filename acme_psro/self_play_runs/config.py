"""Configuration of a self-play run, as one frozen dataclass that validates itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from acme_psro.games.compile import DEFAULT_MAX_NODES
from agents.self_play.config import PRESETS, SelfPlayConfig
from agents.settings import check_known, replace

if TYPE_CHECKING:
    from acme_psro.self_play.training import RolloutConfig

ALGORITHMS = tuple(PRESETS)
# Groups of settings without flags of their own.
GROUPS = ("agent_settings", "rollout")


@dataclasses.dataclass(frozen=True)
class SelfPlayRunConfig:
    """Configuration of a self-play run.

    Attributes:
      game: the OpenSpiel game string, including its parameters.
      algorithm: a preset of the agent, one of `ALGORITHMS`.
      steps: number of decisions of all players that are learned from; rounded up to whole rollouts.
      seed: the seed of all random numbers, >= 0.
      evaluate_every: number of decisions between two exact evaluations of the policy; 0 for one at the end
        only. It is rounded up to whole rollouts.
      max_nodes: the largest number of nodes of a game that is compiled.
      agent_settings: settings that replace those of the preset, see `agents.self_play.SelfPlayConfig`.
        The horizon is `steps` unless it is given.
      rollout: settings of rollouts, see `acme_psro.self_play.training.RolloutConfig`.

    Raises:
      ValueError: an option is unknown or out of its range. The message names the command-line flag.
    """

    game: str
    algorithm: str = "mmd"
    steps: int = 1_000_000
    seed: int = 0
    evaluate_every: int = 100_000
    max_nodes: int = DEFAULT_MAX_NODES
    agent_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rollout: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_known("algorithm", self.algorithm, ALGORITHMS)
        for name in ("steps", "max_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("seed", "evaluate_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must not be negative, not {getattr(self, name)}.")
        # Raises a ValueError if a setting is unknown or not allowed.
        self.agent()

    def agent(self) -> SelfPlayConfig:
        """Returns the agent's configuration.

        Raises:
          ValueError: a setting is unknown or not allowed.
        """
        return replace("self_play", PRESETS[self.algorithm], {"horizon": self.steps, **self.agent_settings})

    def rollout_size(self) -> RolloutConfig:
        """Returns the size of rollouts.

        Raises:
          ValueError: a setting is unknown or not allowed, or the agent's minibatches do not fit.
        """
        # It imports JAX.
        from acme_psro.self_play.training import RolloutConfig, check_fits

        size = replace("rollout", RolloutConfig(), dict(self.rollout))
        check_fits(self.agent(), size)
        return size

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as it is stored in `config.json`, with all settings.

        A run that is resumed by a later version with other presets then stays what it was, or is refused.
        """
        agent = dataclasses.asdict(self.agent())
        return {
            **dataclasses.asdict(self),
            # JSON has no infinity.
            "agent_settings": {name: "inf" if value == math.inf else value for name, value in agent.items()},
            "rollout": dataclasses.asdict(self.rollout_size()),
        }
