"""Configuration of a run of one agent."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from acme_psro.agent_runs import placement
from acme_psro.agent_runs.defaults import find_overrides
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.system import surroundings
from agents.registry import AGENTS
from agents.settings import check_at_least_zero, check_known

LOCAL_LAUNCH_TYPES = ("local_mt", "local_mp")
LAUNCH_TYPES = (*LOCAL_LAUNCH_TYPES, "vertex_ai")
REPLAYS = ("in_process", "reverb")
# Accelerators for which XManager knows a machine type of Vertex AI, and "none".
ACCELERATORS = ("none", "P100", "V100", "T4", "A100")


@dataclasses.dataclass(frozen=True)
class AgentRunConfig:
    """Configuration of a run of one agent.

    Attributes:
      agent: name of the agent, one of `AGENTS`.
      environment: name of the environment, as `acme_psro.environments.by_name.make_environment` takes it.
      actor_steps: number of decisions to make during training, summed over all actors.
      seed: seed of all random numbers, from 0 to 2**32 - 1.
      player: in a game, the player that learns.
      opponent: in a game, the directory of a run whose mixture the other players use. None means that they
        play uniformly at random.
      preset: name of one of the agent's `PRESETS`. None selects the preset by the kind of environment.
      agent_settings: values by field of the agent's configuration, which replace those of the preset.
      replay: implementation of the replay, one of `REPLAYS`. A Launchpad program always uses Reverb.
      replay_settings: values by field of `agents.acme_layer.replay.ReplayConfig`.
      evaluate_every: number of decisions between two evaluations.
      evaluation_episodes: number of episodes in one evaluation.
      plateau_patience: number of evaluations, at least 2. The run ends before its `actor_steps` if this many
        evaluations are no better than the same number before them, see `acme_psro.agent_runs.plateau`. 0
        disables this.
      plateau_min_improvement: smallest increase of the mean return that counts as an improvement.
      distributed: True to run as a Launchpad program.
      num_actors: number of actors of the program.
      games_per_actor: in a game, the number of games that each actor of the program plays at the same time.
        With 1 the actor uses Acme's own environment loop.
      lp_launch_type: one of `LAUNCH_TYPES`.
      replay_with_learner: with `local_mp`, True to put the replay into the learner's process, so that samples
        do not cross the network, and False to give it a process of its own.
      learner_devices: CUDA devices that the learner sees, such as "0,1", with the numbers that JAX uses on
        this machine. "" means all devices.
      learner_accelerator: accelerator of the learner's machine in Vertex AI, one of `ACCELERATORS`; see
        `acme_psro.agent_runs.vertex_ai.send`.
      checkpoint_seconds: time between two checkpoints, in seconds.
      snapshots: in a game, number of policies that a program takes evenly spaced through training, the final
        one included, see `acme_psro.agent_runs.program.snapshots`. 0 takes only the final one.

    Raises:
      ValueError: a value is not allowed; the message names the flag.
    """

    agent: str
    environment: str
    actor_steps: int
    seed: int = 0
    player: int = 0
    opponent: str | None = None
    preset: str | None = None
    agent_settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    replay: str = "in_process"
    replay_settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    evaluate_every: int = 10_000
    evaluation_episodes: int = 10
    plateau_patience: int = 0
    plateau_min_improvement: float = 0.0
    distributed: bool = False
    num_actors: int = 1
    games_per_actor: int = 16
    lp_launch_type: str = "local_mp"
    replay_with_learner: bool = True
    learner_devices: str = ""
    learner_accelerator: str = "T4"
    checkpoint_seconds: float = 60.0
    snapshots: int = 0

    def __post_init__(self) -> None:
        check_known("agent", self.agent, AGENTS)
        check_known("replay", self.replay, REPLAYS)
        check_known("lp_launch_type", self.lp_launch_type, LAUNCH_TYPES)
        for name in ("actor_steps", "evaluate_every", "evaluation_episodes", "num_actors", "games_per_actor"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed must be from 0 to {2**32 - 1}, not {self.seed}.")
        check_at_least_zero("checkpoint_seconds", self.checkpoint_seconds)
        check_at_least_zero("snapshots", self.snapshots)
        self._check_plateau()
        placement.parse(self.learner_devices)
        self._check_cloud()

    def _check_plateau(self) -> None:
        if self.plateau_patience:
            Plateau(self.plateau_patience, self.plateau_min_improvement)
            if self.evaluation_episodes < 2:
                raise ValueError(
                    "--plateau_patience needs --evaluation_episodes of at least 2, to know errors."
                )
        elif self.plateau_min_improvement:
            raise ValueError(
                "--plateau_min_improvement needs a --plateau_patience of at least 2 evaluations."
            )

    def _check_cloud(self) -> None:
        check_known("learner_accelerator", self.learner_accelerator, ACCELERATORS)
        if self.lp_launch_type != "vertex_ai":
            return
        if not self.distributed:
            raise ValueError("--lp_launch_type=vertex_ai is for programs: add --distributed.")
        if self.learner_devices:
            raise ValueError(
                "--learner_devices is for learners on this machine: give --learner_accelerator in Vertex AI."
            )

    @property
    def has_replay_process(self) -> bool:
        """True if the replay of the program is a node of its own."""
        return self.lp_launch_type != "local_mp" or not self.replay_with_learner

    @property
    def plateau(self) -> Plateau | None:
        """Criterion that ends the run before its last step, or None if there is none."""
        if not self.plateau_patience:
            return None
        return Plateau(self.plateau_patience, self.plateau_min_improvement)

    @property
    def kind(self) -> str:
        """Kind of the environment: "openspiel" or "control"."""
        return "openspiel" if self.environment.startswith("openspiel:") else "control"

    def agent_overrides(self) -> dict[str, Any]:
        """Returns the values that replace those of the agent's preset.

        The user's `agent_settings` take precedence over the values for the kind of environment.
        """
        return find_overrides(self.agent, self.kind).agent | self.agent_settings

    def replay_overrides(self) -> dict[str, Any]:
        """Returns the values that replace the replay's defaults; `replay_settings` take precedence."""
        return find_overrides(self.agent, self.kind).replay | self.replay_settings

    def gradient_steps(self, batch_size: int, samples_per_insert: float) -> int:
        """Computes the number of gradient steps of the whole run, which is the horizon of schedules.

        Args:
          batch_size: number of samples in the batch of one gradient step.
          samples_per_insert: number of times that each decision is sampled on average.

        Returns:
          The number of gradient steps, at least 1.
        """
        return max(1, math.ceil(self.actor_steps * samples_per_insert / batch_size))

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `config.json`: all settings that are in use."""
        unused = self.unused()
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in unused}

    def unused(self) -> dict[str, str]:
        """Returns the settings that have no effect on this run, each with the flags that it needs."""
        needs: dict[str, str] = {}
        if self.distributed:
            # The replay of a program is always Reverb's.
            needs["replay"] = "a run without --distributed"
        else:
            names = ("num_actors", "games_per_actor", "lp_launch_type", "replay_with_learner", "snapshots")
            needs |= dict.fromkeys(names, "--distributed")
        if self.kind != "openspiel":
            of_games = ("games_per_actor", "player", "opponent", "snapshots")
            needs |= dict.fromkeys(of_games, "--environment=openspiel:GAME")
        if self.lp_launch_type != "local_mp" and self.distributed:
            needs["replay_with_learner"] = "--lp_launch_type=local_mp"
        if self.lp_launch_type != "vertex_ai":
            needs["learner_accelerator"] = "--distributed --lp_launch_type=vertex_ai"
        if not self.plateau_patience:
            needs["plateau_min_improvement"] = "--plateau_patience"
        return needs

    @staticmethod
    def from_json(data: dict[str, Any]) -> AgentRunConfig:
        """Returns the configuration that `config.json` holds.

        Raises:
          ValueError: the data do not describe a run of one agent, or a value is not allowed.
        """
        known = {field.name for field in dataclasses.fields(AgentRunConfig)}
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if name != surroundings.KEY}
        if not isinstance(data, dict) or not {"agent", "environment", "actor_steps"} <= set(data) <= known:
            is_psro = isinstance(data, dict) and "oracle" in data
            hint = ": it is of run_psro, name a run of run_agent" if is_psro else ""
            raise ValueError(f"config.json does not describe a run of one agent{hint}.")
        return AgentRunConfig(**data)
