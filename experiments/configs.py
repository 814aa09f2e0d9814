"""What a PSRO run is: one frozen configuration, and named settings for each game and agent.

A setting holds the budgets with which the device oracle meets the project's bars on a game, on two CPU
cores; flags overrule it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.solvers import get_solver
from experiments.names import PSRO_AGENTS, check_known

ORACLES = ("exact", "device", "launchpad")
PAYOFFS = ("auto", "exact", "sampled")


@dataclasses.dataclass(frozen=True)
class PSROConfig:
    """A PSRO run.

    Attributes:
      game: OpenSpiel game string, parameters included.
      oracle: a name of `ORACLES`.
      agent: a name of `PSRO_AGENTS`; who learns best responses.
      meta_solver: a name of `acme_psro.solvers.SOLVERS`.
      iterations: of the outer loop, at most.
      seed: of everything random.
      max_nodes: games with more are not compiled.
      tolerance: stop once no player gains more than this, in the game's utility units.
      device: settings of the device oracle, see `acme_psro.oracles.training.DeviceConfig`.
      launchpad: settings of the Launchpad oracle, see `acme_psro.oracles.launchpad.LaunchpadConfig`.
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
        check_known("agent", self.agent, PSRO_AGENTS)
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


class Setting(NamedTuple):
    """Budgets and settings of an agent in a game.

    Attributes:
      iterations: of the outer loop.
      device: of the device oracle.
      agent_settings: over the agent's preset, of the device oracle's learner.
      launchpad: of the Launchpad oracle.
    """

    iterations: int
    device: dict[str, Any]
    agent_settings: dict[str, Any]
    launchpad: dict[str, Any]


_CROSSQ = {
    "discount": 1.0,
    "exploration": 0.15,
    "temperature": 0.3,
    "final_temperature": 0.003,
    "learning_rate": 0.02,
    "final_learning_rate": 0.0001,
    # Running statistics must be worth something within a few hundred updates.
    "renorm_warmup": 200,
    "renorm_momentum": 0.95,
}

_DEVICE = {"gradient_steps": 1000, "num_envs": 8192, "batch_size": 4096, "buffer_size": 200_000}

# Conditional MPO needs more tries than CrossQ for small gaps late in PSRO.
_LEDUC_MPO_DEVICE = {**_DEVICE, "enough": 0.97}

_KUHN_DEVICE = {"gradient_steps": 300, "num_envs": 512, "batch_size": 1024, "buffer_size": 100_000}

# Less momentum and newer targets than the preset: gaps late in PSRO are a quarter smaller.
_MPO = {"discount": 1.0, "adam_b1": 0.5, "target_critic_period": 5}

_LAUNCHPAD = {"actor_steps": 200_000}

_KUHN_LAUNCHPAD = {"actor_steps": 20_000}

SETTINGS: dict[str, dict[str, Setting]] = {
    "default": {
        "crossq": Setting(20, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": Setting(20, _DEVICE, _MPO, _LAUNCHPAD),
    },
    "leduc_poker": {
        "crossq": Setting(100, _DEVICE, _CROSSQ, _LAUNCHPAD),
        "conditional_mpo": Setting(100, _LEDUC_MPO_DEVICE, _MPO, _LAUNCHPAD),
    },
    "kuhn_poker": {
        "crossq": Setting(20, _KUHN_DEVICE, _CROSSQ, _KUHN_LAUNCHPAD),
        "conditional_mpo": Setting(20, _KUHN_DEVICE, _MPO, _KUHN_LAUNCHPAD),
    },
}


def setting_for(game: str, agent: str) -> Setting:
    """The agent's setting named like the game (OpenSpiel's short name), or else its default one.

    Raises:
      ValueError: there is no such agent.
    """
    check_known("agent", agent, PSRO_AGENTS)
    named = SETTINGS.get(game.split("(", 1)[0].strip(), {})
    return named.get(agent, SETTINGS["default"][agent])
