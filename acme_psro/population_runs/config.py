"""Configuration of a population run, as one frozen dataclass that validates itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.psro.registry import LOOPS, check_solver_serves, get_loop
from acme_psro.solvers import get_solver
from acme_psro.solvers.properties import Concept, properties_of
from agents.registry import AGENTS, member_agents, response_agents
from agents.settings import check_at_least_zero, check_known

ORACLES = ("exact", "device", "launchpad")
# Other names of oracles, for flags and `acme_psro.run`.
ORACLE_NAMES = {"program": "launchpad"}
PAYOFFS = ("auto", "exact", "sampled")
WARM_STARTS = ("none", "population")
CE_RESPONSES = ("largest_gap", "all")
# Settings of the device oracle that have a flag of their own, by name of the setting.
_DEVICE_FLAGS = {
    "gradient_steps": "gradient_steps_per_response",
    **{name: name for name in ("num_envs", "batch_size", "buffer_size", "max_extensions")},
}


# Settings that earlier versions did not have, with the values by which runs do what they did before.
_LATER = {"warm_start": "none", "exact_every": 1, "symmetric": False}


@dataclasses.dataclass(frozen=True)
class PSROConfig:
    """Configuration of a PSRO run.

    Attributes:
      game: the OpenSpiel game string, including its parameters.
      oracle: the oracle's name, one of `ORACLES`.
      agent: the name of the agent that learns best responses, one of `agents.registry.response_agents`, or
        that learns all members of a population, one of `agents.registry.member_agents`.
      loop: the loop's name, a key of `acme_psro.psro.registry.LOOPS`.
      meta_solver: the meta-solver's name, a key of `acme_psro.solvers.SOLVERS`.
      iterations: the largest number of iterations of the outer loop.
      seed: the seed of all random numbers, >= 0.
      max_nodes: the largest number of nodes of a game that is compiled.
      tolerance: the run stops once no player gains more than this, in the game's utility units.
      device: settings of the device oracle, see `acme_psro.oracles.device.config.DeviceConfig`.
      launchpad: settings of the Launchpad oracle, see `acme_psro.oracles.launchpad.config.LaunchpadConfig`.
      agent_settings: settings that replace those of the agent's preset "games"; for CrossQ see
        `agents.crossq.config.CrossQConfig`.
      payoffs: one of `PAYOFFS`. "exact" payoffs need a compiled game. "sampled" payoffs are estimated by
        simulation, in games of any size. "auto" means exact if the game compiles, and sampled if it does not.
      simulation: settings of sampled payoffs, see `acme_psro.meta_game.sampled.SimulationConfig`.
      neupl: settings of the loop "neupl", see `acme_psro.neupl.config.NeuPLConfig`, or of the loop
        "neupl_jpsro", see `acme_psro.neupl.distillation.DistillationConfig`.
      warm_start: one of `WARM_STARTS`. With "none" a response begins in a fresh network, with "population" in
        the one that its player's earlier responses learned, see
        `acme_psro.oracles.device.population_start`.
      exact_every: iterations from one exact evaluation of the mixture to the next in games that are compiled
        to graphs, in which it takes from seconds to minutes. The last mixture is evaluated in any case.
      symmetric: True for one population of both players, in a symmetric game, see
        `acme_psro.psro.symmetric`.
      ce_responses: one of `CE_RESPONSES`, to which recommendations players respond in the loop "jpsro" with a
        meta-solver of correlated equilibria.

    Raises:
      ValueError: an option is unknown or out of its range. The message names the command-line flag.
    """

    game: str
    oracle: str = "device"
    agent: str = "crossq"
    loop: str = "psro"
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
    neupl: dict[str, Any] = dataclasses.field(default_factory=dict)
    warm_start: str = "none"
    exact_every: int = 1
    symmetric: bool = False
    ce_responses: str = "largest_gap"

    def __post_init__(self) -> None:
        check_known("oracle", self.oracle, ORACLES)
        check_known("kind of payoffs", self.payoffs, PAYOFFS)
        if self.payoffs == "sampled" and self.oracle != "launchpad":
            raise ValueError(f"--payoffs=sampled needs --oracle=launchpad: {self.oracle} compiles the game.")
        entry = get_loop(self.loop)
        check_known("agent", self.agent, AGENTS if entry.trains_members else response_agents())
        get_solver(self.meta_solver)
        check_solver_serves(self.loop, self.meta_solver)
        if self.payoffs == "sampled" and entry.needs_tree:
            raise ValueError(
                f"--loop={self.loop} needs a compiled game: use --payoffs=exact, or --loop=psro."
            )
        if entry.trains_members:
            self._check_trains_members()
        else:
            self._check_rollouts()
            self._check_distils(entry.distils)
        check_known("warm start", self.warm_start, WARM_STARTS)
        if self.warm_start != "none":
            self._check_warm_start(entry.trains_members)
        self._check_symmetric(entry.may_share)
        check_known("choice of responses", self.ce_responses, CE_RESPONSES)
        for name in ("iterations", "max_nodes", "exact_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        # `DeviceConfig` checks these too, but importing it imports JAX, and its messages do not name flags.
        for name, flag in _DEVICE_FLAGS.items():
            least, value = int(name != "max_extensions"), self.device.get(name)
            if isinstance(value, int) and value < least:
                raise ValueError(f"--{flag} must be at least {least}, not {value}.")
        if self.seed < 0:
            raise ValueError(f"--seed must not be negative, not {self.seed}.")
        check_at_least_zero("tolerance", self.tolerance)

    def _check_rollouts(self) -> None:
        if self.oracle == "launchpad" and AGENTS[self.agent].learns_from_rollouts:
            raise ValueError(
                f"--agent={self.agent} learns from rollouts on the device: it needs --oracle=device, not "
                "launchpad."
            )

    def _check_trains_members(self) -> None:
        if self.oracle == "exact":
            if self.neupl.get("payoffs", "exact") != "exact":
                raise ValueError("neupl.payoffs needs --oracle=device: exact members have exact payoffs.")
            return
        self._check_takes_contexts(f"--loop={self.loop}", member_agents())
        if AGENTS[self.agent].is_on_policy and self.oracle != "device":
            raise ValueError(
                f"--agent={self.agent} learns from its newest decisions alone: with --loop={self.loop} it "
                f"needs --oracle=device, not {self.oracle}."
            )

    def _check_distils(self, distils: bool) -> None:
        if not distils:
            return
        if self.oracle != "device":
            raise ValueError(
                f"--loop={self.loop} distils responses that are learned on the device: it needs "
                f"--oracle=device, not {self.oracle}."
            )
        fitting = [name for name in response_agents() if AGENTS[name].takes_contexts]
        self._check_takes_contexts(f"--loop={self.loop}", fitting)

    def _check_warm_start(self, trains_members: bool) -> None:
        option = f"--warm_start={self.warm_start}"
        if trains_members:
            raise ValueError(
                f"{option} needs --loop=psro: --loop={self.loop} has one network for all members."
            )
        if self.oracle != "device":
            raise ValueError(f"{option} needs --oracle=device, not {self.oracle}.")
        fitting = [name for name in response_agents() if AGENTS[name].takes_contexts]
        self._check_takes_contexts(option, fitting)

    def _check_symmetric(self, may_share: bool) -> None:
        if self.symmetric and not may_share:
            sharing = " or ".join(f"--loop={name}" for name, entry in LOOPS.items() if entry.may_share)
            raise ValueError(f"--symmetric needs {sharing}, not {self.loop}.")
        if self.symmetric and self.oracle == "launchpad":
            raise ValueError("--symmetric needs --oracle=exact or --oracle=device, not launchpad.")

    def _check_takes_contexts(self, option: str, fitting: Sequence[str]) -> None:
        if self.agent not in fitting:
            raise ValueError(
                f"{option} needs an agent whose network is told which member it is: "
                f"use --agent={' or '.join(fitting)}, not {self.agent}."
            )

    @property
    def responds_to_recommendations(self) -> bool:
        """True if players respond to what is recommended to them."""
        is_correlated = properties_of(self.meta_solver).concept is Concept.CE
        return get_loop(self.loop).is_joint and is_correlated

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as it is stored in `config.json`: all settings that are in use."""
        unused = {oracle for oracle in ("device", "launchpad") if oracle != self.oracle}
        if self.oracle == "exact":
            unused |= {"agent", "agent_settings"}
        if not get_loop(self.loop).uses_solver:
            unused.add("meta_solver")
        # What the loop trains has a budget of its own.
        if get_loop(self.loop).trains_members:
            unused.add("device")
        elif not get_loop(self.loop).distils:
            unused.add("neupl")
        if self.payoffs == "exact" or self.oracle != "launchpad":
            unused.add("simulation")
        if self.payoffs == "sampled":
            unused.add("max_nodes")
        if not self.responds_to_recommendations:
            unused.add("ce_responses")
        # Runs of earlier versions do not have them.
        unused |= {name for name, usual in _LATER.items() if getattr(self, name) == usual}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in unused}
