"""Configuration of a self-play run, as one frozen dataclass that validates itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.self_play.tabular import TabularConfig
from agents.self_play.config import PRESETS, SelfPlayConfig
from agents.settings import check_known, replace

if TYPE_CHECKING:
    from acme_psro.self_play.training import RolloutConfig

# The algorithm that learns a table from exact values. All others learn a network from games.
TABULAR = "tabular_mmd"
ALGORITHMS = (*PRESETS, TABULAR)
# Groups of settings without flags of their own.
GROUPS = ("agent_settings", "rollout")


class Budget(NamedTuple):
    """Numbers of steps: of a run, and from one evaluation to the next."""

    steps: int
    evaluate_every: int


def default_budget(algorithm: str) -> Budget:
    """Returns an algorithm's usual budget."""
    return Budget(500, 50) if algorithm == TABULAR else Budget(1_000_000, 100_000)


@dataclasses.dataclass(frozen=True)
class SelfPlayRunConfig:
    """Configuration of a self-play run.

    Attributes:
      game: the OpenSpiel game string, including its parameters.
      algorithm: a preset of the agent, or "tabular_mmd": one of `ALGORITHMS`.
      steps: number of decisions of all players that are learned from, rounded up to whole rollouts; of
        "tabular_mmd", number of updates, each of which looks at the whole game.
      seed: the seed of all random numbers, >= 0.
      evaluate_every: number of steps between two exact evaluations of the policy; 0 for one at the end only.
        It is rounded up to whole rollouts.
      max_nodes: the largest number of nodes of a game that is compiled.
      agent_settings: settings that replace those of the preset, see `agents.self_play.SelfPlayConfig`, or
        those of `acme_psro.self_play.tabular.TabularConfig`. A preset's horizon is `steps` unless it is
        given.
      rollout: settings of rollouts, see `acme_psro.self_play.training.RolloutConfig`; none of
        "tabular_mmd".

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
        if self.is_tabular and self.rollout:
            raise ValueError(
                f"--algorithm={TABULAR} plays no games: leave out {_first('rollout', self.rollout)}."
            )
        # Raises a ValueError if a setting is unknown or not allowed.
        _ = self.table() if self.is_tabular else self.agent()

    @property
    def is_tabular(self) -> bool:
        """True if a table learns from exact values, and no games are played."""
        return self.algorithm == TABULAR

    def table(self) -> TabularConfig:
        """Returns the configuration of an algorithm on tables.

        Raises:
          ValueError: a setting is unknown or not allowed.
        """
        return replace(TABULAR, TabularConfig(), dict(self.agent_settings))

    def agent(self) -> SelfPlayConfig:
        """Returns the configuration of an agent with a network.

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
        agent = dataclasses.asdict(self.table() if self.is_tabular else self.agent())
        return {
            **dataclasses.asdict(self),
            # JSON has no infinity.
            "agent_settings": {name: "inf" if value == math.inf else value for name, value in agent.items()},
            "rollout": {} if self.is_tabular else dataclasses.asdict(self.rollout_size()),
        }


def _first(group: str, settings: Mapping[str, Any]) -> str:
    return f"--set={group}.{next(iter(settings))}"
