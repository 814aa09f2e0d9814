"""What a run of one agent is: one frozen configuration."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from acme_psro.agent_runs import placement
from acme_psro.agent_runs.plateau import Plateau
from agents.registry import AGENTS
from agents.settings import check_known

LOCAL_LAUNCH_TYPES = ("local_mt", "local_mp")
LAUNCH_TYPES = (*LOCAL_LAUNCH_TYPES, "vertex_ai")
REPLAYS = ("in_process", "reverb")
# Those that XManager knows machines of Vertex AI for.
ACCELERATORS = ("none", "P100", "V100", "T4", "A100")


class _Setting(NamedTuple):
    """What is set over an agent's own defaults, and over those of replay."""

    agent: dict[str, Any]
    replay: dict[str, Any]


_ON_POLICY = {
    "batch_size": 256,
    "samples_per_insert": 1.0,
    "min_replay_size": 256,
    "max_replay_size": 512,
    "variable_update_period": 1,
    "prefetch_size": 1,
    "num_parallel_calls": 1,
}

# By agent and kind of environment.
_SETTINGS: dict[str, dict[str, _Setting]] = {
    "crossq": {
        "control": _Setting(agent={}, replay={"gradient_steps_per_learner_step": 4}),
        # Players decide a few times a game, for rewards that come at the end.
        "openspiel": _Setting(
            agent={
                "discount": 1.0,
                "exploration": 0.15,
                "temperature": 0.3,
                "final_temperature": 0.003,
                "learning_rate": 0.01,
                "final_learning_rate": 0.0001,
                # Running statistics must be worth something within a few hundred updates.
                "renorm_warmup": 200,
                "renorm_momentum": 0.95,
            },
            replay={
                "batch_size": 512,
                "min_replay_size": 2000,
                "samples_per_insert": 32.0,
                "gradient_steps_per_learner_step": 4,
            },
        ),
    },
    "conditional_mpo": {
        "control": _Setting(agent={}, replay={"n_step": 5, "gradient_steps_per_learner_step": 4}),
        "openspiel": _Setting(
            agent={"discount": 1.0},
            replay={
                "batch_size": 512,
                "min_replay_size": 2000,
                "samples_per_insert": 32.0,
                "gradient_steps_per_learner_step": 4,
            },
        ),
    },
    # Every decision is drawn about once, from the newest few batches.
    "vmpo": {
        "control": _Setting(agent={}, replay={"n_step": 16, **_ON_POLICY}),
        "openspiel": _Setting(agent={"discount": 1.0}, replay={"n_step": 8, **_ON_POLICY}),
    },
}


@dataclasses.dataclass(frozen=True)
class AgentRunConfig:
    """A run of one agent.

    Attributes:
      agent: a name of `AGENTS`.
      environment: as `acme_psro.environments.by_name.make_environment` takes it.
      actor_steps: decisions to make while learning, over all actors.
      seed: of everything random.
      player: of a game, whose decisions are learned.
      opponent: of a game, the directory of a run whose mixture the others play; None: uniform.
      preset: of the agent, see its `PRESETS`; None: the environment's kind decides.
      agent_settings: over the preset.
      replay: a name of `REPLAYS`, where experience is kept; a program always uses Reverb.
      replay_settings: see `agents.acme_layer.replay.ReplayConfig`.
      evaluate_every: decisions between two evaluations.
      evaluation_episodes: episodes in an evaluation.
      plateau_patience: evaluations, at least 2: the run ends before its `actor_steps` where the last so many
        are no better than those before, see `acme_psro.agent_runs.plateau`; 0: it never does.
      plateau_min_improvement: of the mean return, what counts as better.
      distributed: whether to run as a Launchpad program.
      num_actors: actors of the program.
      games_per_actor: of a game, how many each actor of the program plays side by side; 1: Acme's own loop.
      lp_launch_type: a name of `LAUNCH_TYPES`.
      replay_with_learner: with local_mp, whether replay is in the learner's process, which then draws from it
        without a network between, or in one of its own.
      learner_devices: which of the CUDA devices that JAX shows here the learner sees, as "0,1"; "": all.
      learner_accelerator: of the learner's machine in Vertex AI, see `acme_psro.agent_runs.vertex_ai.send`.
      checkpoint_seconds: time between two checkpoints.
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

    def __post_init__(self) -> None:
        check_known("agent", self.agent, AGENTS)
        check_known("replay", self.replay, REPLAYS)
        check_known("lp_launch_type", self.lp_launch_type, LAUNCH_TYPES)
        for name in ("actor_steps", "evaluate_every", "evaluation_episodes", "num_actors", "games_per_actor"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed must be from 0 to {2**32 - 1}, not {self.seed}.")
        if not self.checkpoint_seconds >= 0:
            raise ValueError(f"--checkpoint_seconds must not be negative, not {self.checkpoint_seconds}.")
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
        """Whether the program's replay is a node of its own."""
        return self.lp_launch_type != "local_mp" or not self.replay_with_learner

    @property
    def plateau(self) -> Plateau | None:
        """What ends the run before its budget; None: nothing."""
        if not self.plateau_patience:
            return None
        return Plateau(self.plateau_patience, self.plateau_min_improvement)

    @property
    def kind(self) -> str:
        """Of the environment: "openspiel" or "control"."""
        return "openspiel" if self.environment.startswith("openspiel:") else "control"

    def agent_overrides(self) -> dict[str, Any]:
        """What is set over the agent's preset: by the kind of environment, then by the user."""
        return _SETTINGS[self.agent][self.kind].agent | self.agent_settings

    def replay_overrides(self) -> dict[str, Any]:
        """What is set over the replay's defaults."""
        return _SETTINGS[self.agent][self.kind].replay | self.replay_settings

    def gradient_steps(self, batch_size: int, samples_per_insert: float) -> int:
        """How many gradient steps the run comes to, over which schedules fall."""
        return max(1, math.ceil(self.actor_steps * samples_per_insert / batch_size))

    def to_json(self) -> dict[str, Any]:
        """The configuration as `config.json` holds it."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> AgentRunConfig:
        """The configuration that `config.json` holds.

        Raises:
          ValueError: it is not one of these.
        """
        known = {field.name for field in dataclasses.fields(AgentRunConfig)}
        if not isinstance(data, dict) or not {"agent", "environment", "actor_steps"} <= set(data) <= known:
            raise ValueError("config.json does not describe a run of one agent.")
        return AgentRunConfig(**data)
