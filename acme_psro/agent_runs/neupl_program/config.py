"""Configuration of NeuPL as a Launchpad program."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.payoff_estimator import EstimatorConfig
from agents import settings
from agents.settings import check_known

PAYOFFS = ("estimated", "exact")
# Options of the population that need a compiled game, or that the program does not know.
_UNUSED = ("simplex",)
# Opponents change for as long as the program runs, so that old games teach what is no longer true. Replay
# holds fewer decisions than for a best response, and each is learned from less often.
_REPLAY = {"max_replay_size": 100_000, "samples_per_insert": 8.0}


@dataclasses.dataclass(frozen=True)
class NeuPLProgramConfig:
    """Configuration of NeuPL as a Launchpad program.

    Attributes:
      game: OpenSpiel's name of the game, two-player and zero-sum.
      epochs: number of graphs that are made, after each of which the members are stored.
      epoch_steps: gradient steps between two graphs.
      seed: seed of all random numbers, from 0 to 2**32 - 1.
      agent: name of the agent, whose networks take contexts.
      neupl: values by field of `acme_psro.neupl.config.NeuPLConfig`. Those of rounds and buffers are for
        training on the device, and have no effect here, nor has `enough`.
      agent_settings: values by field of the agent's configuration.
      replay_settings: values by field of `agents.acme_layer.replay.ReplayConfig`.
      payoffs: "estimated" to make graphs from payoffs that are estimated from evaluation games, in games of
        any size; "exact" to make them from exact ones, for which the game is compiled.
      evaluation: share of games that are played between pairs of members drawn uniformly. Only payoffs are
        estimated from them (Liu et al. 2022 take 0.3).
      evaluation_games: number of these games that an actor plays side by side.
      estimator: values by field of `acme_psro.neupl.payoff_estimator.EstimatorConfig`.
      min_outcomes: number of outcomes before the first graph is made from them. Until then the graph is that
        of equal payoffs, and the first epoch is longer.
      stored_outcomes: number of outcomes that payoffs are estimated from, the newest ones.
      freezing_games: number of games by which a member of the frontier is judged after each epoch, if members
        are frozen; see `acme_psro.agent_runs.neupl_program.judging`.
      outcome_uses: number of times that an outcome is drawn for the estimator, on average.
      max_nodes: games of at most this number of nodes are compiled, to log exact figures of every epoch
        beside the estimated ones; 0 for no game. They influence learning only with exact `payoffs`.
      num_actors: number of actors.
      games_per_actor: number of training games that each actor plays side by side, half of them as each
        player.
      lp_launch_type: "local_mp" for a process a node, "local_mt" for a thread a node.
      replay_with_learner: see `AgentRunConfig`.
      learner_devices: see `AgentRunConfig`.
      checkpoint_seconds: time between two checkpoints, in seconds.
      exploiter_steps: decisions from which the run trains an exploiter of each player when the program has
        ended, in games that do not compile, so that a lower bound of exploitability is known; 0 for none.
      exploiter_agent: the agent that learns exploiters, with its default settings; "": the one of PSRO's
        programs.

    Raises:
      ValueError: a value is not allowed; the message names the setting.
    """

    game: str
    epochs: int
    epoch_steps: int = 1000
    seed: int = 0
    agent: str = "conditional_mpo"
    neupl: dict[str, Any] = dataclasses.field(default_factory=dict)
    agent_settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    replay_settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    payoffs: str = "estimated"
    evaluation: float = 0.3
    evaluation_games: int = 128
    estimator: dict[str, Any] = dataclasses.field(default_factory=dict)
    min_outcomes: int = 2000
    stored_outcomes: int = 50_000
    freezing_games: int = 4096
    outcome_uses: float = 32.0
    max_nodes: int = 0
    num_actors: int = 1
    games_per_actor: int = 32
    lp_launch_type: str = "local_mp"
    replay_with_learner: bool = True
    learner_devices: str = ""
    checkpoint_seconds: float = 60.0
    exploiter_steps: int = 0
    exploiter_agent: str = ""

    def __post_init__(self) -> None:
        self._check_numbers()
        check_known("payoffs", self.payoffs, PAYOFFS)
        if self.payoffs == "exact" and not self.max_nodes:
            raise ValueError("exact payoffs need a compiled game: give max_nodes, or estimated payoffs.")
        if not 0 < self.evaluation < 1:
            raise ValueError(
                f"evaluation must lie between 0 and 1, not {self.evaluation}: payoffs are estimated from it."
            )
        if not 0 < self.outcome_uses < math.inf:
            raise ValueError(f"outcome_uses must be above 0 and finite, not {self.outcome_uses}.")
        self._check_population()
        if self.run.lp_launch_type == "vertex_ai":
            raise ValueError("NeuPL's program runs on one machine: give --lp_launch_type=local_mp.")
        # Only to refuse bad settings now.
        self.estimator_config  # noqa: B018

    def _check_numbers(self) -> None:
        for name in ("epochs", "epoch_steps", "evaluation_games", "min_outcomes", "stored_outcomes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("max_nodes", "exploiter_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}.")
        if self.freezing_games < 100:
            raise ValueError(
                f"freezing_games must be at least 100, not {self.freezing_games}: members are judged by them."
            )
        if self.games_per_actor < 2:
            raise ValueError(
                f"games_per_actor must be at least 2, one as each player, not {self.games_per_actor}."
            )

    def _check_population(self) -> None:
        if self.exploiter_agent and not self.exploiter_steps:
            raise ValueError(
                "exploiter_agent needs exploiter_steps, and has no effect otherwise: leave it out."
            )
        members = self.members
        if members.sink != "uniform" and not members.sink_files:
            raise ValueError(
                "the sink of NeuPL's program is uniform or the file of a stored policy, not "
                f"{members.sink}: use --oracle=device for others."
            )
        for name in _UNUSED:
            if getattr(members, name):
                raise ValueError(f"{name} is not for NeuPL's program: leave it out, or use --oracle=device.")
        if members.payoffs != NeuPLConfig.payoffs:
            raise ValueError(
                f"neupl.payoffs={members.payoffs} needs --oracle=device: the program has launchpad.payoffs."
            )
        for name in ("num_members", "mixture_size"):
            if name in self.agent_settings:
                raise ValueError(f"agent_settings.{name} follows from the population: leave it out.")

    @property
    def members(self) -> NeuPLConfig:
        """Configuration of the population."""
        return settings.replace("neupl", NeuPLConfig(), self.neupl)

    @property
    def estimator_config(self) -> EstimatorConfig:
        """Configuration of the payoff estimator."""
        return settings.replace("estimator", EstimatorConfig(), self.estimator)

    @property
    def context_size(self) -> int:
        """Numbers of a context: a row of the graph, and the player."""
        return self.members.context_size

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of the whole program."""
        return self.epochs * self.epoch_steps

    @property
    def run(self) -> AgentRunConfig:
        """Configuration of the learner, replay and actors, as that of a run of one agent.

        Its number of decisions is the one that the gradient steps need. The program ends with its last epoch,
        not after this number.
        """
        made = AgentRunConfig(
            agent=self.agent,
            environment=f"openspiel:{self.game}",
            actor_steps=1,
            seed=self.seed,
            agent_settings={**self.agent_settings, "mixture_size": self.context_size},
            replay_settings={**_REPLAY, **self.replay_settings},
            distributed=True,
            num_actors=self.num_actors,
            games_per_actor=self.games_per_actor,
            lp_launch_type=self.lp_launch_type,
            replay_with_learner=self.replay_with_learner,
            learner_devices=self.learner_devices,
            checkpoint_seconds=self.checkpoint_seconds,
        )
        replay = made.replay_overrides()
        # As many as make the horizon of the agent's schedules equal to the program's gradient steps.
        per_step = replay.get("batch_size", 256) / replay.get("samples_per_insert", 256.0)
        return dataclasses.replace(made, actor_steps=max(1, int(self.gradient_steps * per_step)))

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as JSON."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> NeuPLProgramConfig:
        """Returns the configuration from `to_json`.

        Raises:
          ValueError: the data do not describe a program, or a value is not allowed.
        """
        known = {field.name for field in dataclasses.fields(NeuPLProgramConfig)}
        if not isinstance(data, dict) or not {"game", "epochs"} <= set(data) <= known:
            raise ValueError("this is no configuration of NeuPL's program.")
        return NeuPLProgramConfig(**data)
