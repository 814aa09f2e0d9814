"""Trains one agent in one environment, in one process or as a Launchpad program.

acme-psro agent --agent=crossq --environment=dm_control:cartpole:swingup --actor_steps=50000
acme-psro agent --agent=crossq --environment=openspiel:leduc_poker --actor_steps=200000 \
    --distributed --num_actors=2 --lp_launch_type=local_mp

acme_psro/agent_runs/README.md describes the layout of a program and how to send it to Vertex AI.
"""

from __future__ import annotations

from acme_psro.commands import command_line

# isort: split

import contextlib
import dataclasses
import gc
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags

from acme_psro.agent_runs import budget, installed, launch, placement
from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.config import ACCELERATORS, LAUNCH_TYPES, REPLAYS, AgentRunConfig
from acme_psro.agent_runs.vertex_ai import checks
from acme_psro.environments.by_name import FORMS
from acme_psro.system import jax_settings
from acme_psro.system.lock import locked
from acme_psro.system.streams import quiet_stderr
from agents import registry

_STARTED = time.monotonic()

flags.DEFINE_string("agent", "crossq", f"Agent that learns: {', '.join(registry.AGENTS)}.")
flags.DEFINE_string("environment", "dm_control:cartpole:swingup", f"Environment in which it learns: {FORMS}.")
flags.DEFINE_integer("actor_steps", 50_000, "Decisions made in training, summed over all actors.")
flags.DEFINE_integer("seed", 0, "Random seed of the run.")
flags.DEFINE_string("output_dir", None, "Run directory; by default runs/AGENT-ENVIRONMENT-SEED.")
flags.DEFINE_boolean("resume", False, "Resume the run in the output directory.")
flags.DEFINE_integer("player", 0, "In a game, the player whose decisions are learned.")
flags.DEFINE_string("opponent", None, "In a game, a run_psro directory whose mixture the other players use.")
flags.DEFINE_string("preset", None, "Named settings of the agent; the default depends on the environment.")
flags.DEFINE_multi_string("set", [], "NAME=VALUE, a setting of the agent; may be given repeatedly.")
flags.DEFINE_multi_string("set_replay", [], "NAME=VALUE, a setting of the replay; may be given repeatedly.")
flags.DEFINE_string("replay", "in_process", f"Replay that stores the experience: {', '.join(REPLAYS)}.")
flags.DEFINE_integer("evaluate_every", 10_000, "Decisions between two evaluations.")
flags.DEFINE_integer("evaluation_episodes", 10, "Episodes in an evaluation.")
flags.DEFINE_integer(
    "plateau_patience",
    0,
    "Evaluations without improvement after which the run ends, at least 2; 0 disables this.",
)
flags.DEFINE_float(
    "plateau_min_improvement", 0.0, "Smallest gain that counts as an improvement, in units of the return."
)
flags.DEFINE_boolean("distributed", False, "Run as a Launchpad program.")
flags.DEFINE_integer("num_actors", 1, "Actors of the program.")
flags.DEFINE_integer(
    "games_per_actor", 16, "In a game, the number of games that each actor plays in parallel."
)
flags.DEFINE_string("lp_launch_type", "local_mp", f"How the program runs: {', '.join(LAUNCH_TYPES)}.")
flags.DEFINE_boolean("replay_with_learner", True, "With local_mp, run replay in the learner's process.")
flags.DEFINE_string(
    "learner_devices", "", "CUDA devices visible to the learner, such as 0,1; all by default."
)
flags.DEFINE_string(
    "learner_accelerator",
    "T4",
    f"Accelerator of the learner's machine in Vertex AI: {', '.join(ACCELERATORS)}.",
)
flags.DEFINE_float("checkpoint_seconds", 60.0, "Time between two checkpoints.")

FLAGS = flags.FLAGS


def build_config() -> AgentRunConfig:
    """Builds the run's configuration from the flags.

    Raises:
      ValueError: a flag has an invalid value.
    """
    opponent = FLAGS.opponent and str(command_line.path_of("opponent", FLAGS.opponent))
    return AgentRunConfig(
        agent=FLAGS.agent,
        environment=FLAGS.environment.strip(),
        actor_steps=FLAGS.actor_steps,
        seed=FLAGS.seed,
        player=FLAGS.player,
        opponent=opponent,
        preset=FLAGS.preset,
        agent_settings=parse_settings("set", FLAGS.set),
        replay=FLAGS.replay,
        replay_settings=parse_settings("set_replay", FLAGS.set_replay),
        evaluate_every=FLAGS.evaluate_every,
        evaluation_episodes=FLAGS.evaluation_episodes,
        plateau_patience=FLAGS.plateau_patience,
        plateau_min_improvement=FLAGS.plateau_min_improvement,
        distributed=FLAGS.distributed,
        num_actors=FLAGS.num_actors,
        games_per_actor=FLAGS.games_per_actor,
        lp_launch_type=FLAGS.lp_launch_type,
        replay_with_learner=FLAGS.replay_with_learner,
        learner_devices=FLAGS.learner_devices,
        learner_accelerator=FLAGS.learner_accelerator,
        checkpoint_seconds=FLAGS.checkpoint_seconds,
    )


def parse_settings(flag: str, texts: list[str]) -> dict[str, Any]:
    """Parses settings of the form NAME=VALUE.

    Args:
      flag: name of the flag, for error messages.
      texts: settings as given on the command line. Values are parsed as JSON; a value that is not valid
        JSON is kept as text.

    Raises:
      ValueError: a setting does not have the form NAME=VALUE.
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"--{flag} takes NAME=VALUE, such as learning_rate=0.001, not {text!r}.")
        try:
            settings[name] = json.loads(value, parse_constant=_parse_constant)
        except json.JSONDecodeError:
            settings[name] = value
    return settings


def _parse_constant(text: str) -> str:
    """Returns a number that is not finite as text, because `config.json` cannot hold such numbers."""
    return {"Infinity": "inf", "-Infinity": "-inf"}.get(text, text)


def output_directory() -> Path:
    """Returns the run's directory.

    Raises:
      ValueError: the flag names the home directory of a user who does not exist.
    """
    if FLAGS.output_dir:
        return command_line.path_of("output_dir", FLAGS.output_dir)
    environment = FLAGS.environment.strip().partition(":")[2]
    environment = re.sub(r"[^A-Za-z0-9.=]+", "_", environment).strip("_")
    return Path("runs", command_line.shorten(f"{FLAGS.agent}-{environment}-{FLAGS.seed}"))


def main() -> None:
    """Checks the flags and the run directory, trains the agent and draws its learning curve."""
    with contextlib.ExitStack() as held:
        with command_line.bad_input():
            config = build_config()
            command_line.check_used(config.unused())
            directory = output_directory()
            if config.lp_launch_type == "vertex_ai":
                installed.check_acme_layer()
                checks.check(config, directory)
            run_directory.check(directory, config, FLAGS.resume)
            held.enter_context(locked(directory))
            installed.check_acme_layer()
            jax_settings.check_platforms()
            placement.check(config.learner_devices)
            if config.distributed and config.lp_launch_type != "vertex_ai":
                placement.check_actors("num_actors", config.num_actors)
            _check_budget(config)
        if config.replay == "reverb" and not config.distributed:
            # Reverb's C++ code logs each of its clients, and the end of its server.
            held.enter_context(quiet_stderr())
            held.callback(gc.collect)
        sys.exit(launch.run(config, directory, _STARTED))


def _check_budget(config: AgentRunConfig) -> None:
    """Checks that the run learns; only warns if it is resumed, because older versions began such runs.

    Raises:
      ValueError: the run would end without a gradient step, or a setting of the replay is not allowed.
    """
    from acme_psro.agent_runs import parts

    replay = dataclasses.asdict(parts.make_replay(config))
    try:
        budget.check_budget(config, replay)
    except ValueError as error:
        if not FLAGS.resume:
            raise
        print(f"warning: {error}", file=sys.stderr, flush=True)


def start() -> None:
    """Starts the launcher with the process's arguments."""
    command_line.run(main, output_directory)
