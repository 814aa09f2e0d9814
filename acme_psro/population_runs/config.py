"""Configuration of a population run: one frozen dataclass, validated when made."""

from __future__ import annotations

import dataclasses
from typing import Any

from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.solvers import get_solver
from agents.registry import RESPONSE_AGENTS
from agents.settings import check_known

ORACLES = ("exact", "device", "launchpad")
PAYOFFS = ("auto", "exact", "sampled")


@dataclasses.dataclass(frozen=True)
class PSROConfig:
    """A PSRO run.

    Attributes:
      game: OpenSpiel game string, parameters included.
      oracle: a name of `ORACLES`.
      agent: a name of `RESPONSE_AGENTS`; who learns best responses.
      meta_solver: a name of `acme_psro.solvers.SOLVERS`.
      iterations: of the outer loop, at most.
      seed: of everything random.
      max_nodes: games with more are not compiled.
      tolerance: stop once no player gains more than this, in the game's utility units.
      device: settings of the device oracle, see `acme_psro.oracles.device.training.DeviceConfig`.
      launchpad: settings of the Launchpad oracle, see `acme_psro.oracles.launchpad.exact.LaunchpadConfig`.
      agent_settings: over the agent's preset "games", see `agents.crossq.config.CrossQConfig`.
      payoffs: a name of `PAYOFFS`: "exact" where the game compiles, "sampled", by play, in games of any size;
        "auto" is exact where it can be.
      simulation: of sampled payoffs, see `acme_psro.meta_game.sampled.SimulationConfig`.
    """

    game: str
    oracle: str = "device"
    agent: str = "crossq"
    meta_solver: str = "nash"
    iterations: int = 20
    seed: int = 0
    max_nodes: int = DEFAULT_MAX_NODES
    tolerance: float = 1e-7
    device: dict[str, Any] = dataclasses.field(default_factory=dict)
    launchpad: dict[str, Any] = dataclasses.field(default_factory=dict)
    agent_settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    payoffs: str = "auto"
    simulation: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_known("oracle", self.oracle, ORACLES)
        check_known("kind of payoffs", self.payoffs, PAYOFFS)
        if self.payoffs == "sampled" and self.oracle != "launchpad":
            raise ValueError(f"--payoffs=sampled needs --oracle=launchpad: {self.oracle} compiles the game.")
        check_known("agent", self.agent, RESPONSE_AGENTS)
        get_solver(self.meta_solver)
        for name in ("iterations", "max_nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        for name, value in self.device.items():
            least = 0 if name == "max_extensions" else 1
            if isinstance(value, int) and value < least:
                flag = "gradient_steps_per_response" if name == "gradient_steps" else name
                raise ValueError(f"--{flag} must be at least {least}, not {value}.")
        if self.seed < 0:
            raise ValueError(f"--seed must not be negative, not {self.seed}.")
        if not self.tolerance >= 0:
            raise ValueError(f"--tolerance must not be negative, not {self.tolerance}.")

    def to_json(self) -> dict[str, Any]:
        """The configuration as `config.json` holds it."""
        return dataclasses.asdict(self)
