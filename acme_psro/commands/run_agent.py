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
import re
import sys
import time
from pathlib import Path

from absl import flags

from acme_psro.agent_runs import budget, installed, launch, placement
from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.config import ACCELERATORS, LAUNCH_TYPES, REPLAYS, AgentRunConfig
from acme_psro.agent_runs.vertex_ai import checks
from acme_psro.commands import config_flag, placing_flags, settings_flag
from acme_psro.commands.config_flag import FileValues
from acme_psro.commands.settings_flag import AGENT_GROUP, parse_settings
from acme_psro.environments.by_name import FORMS
from acme_psro.system import jax_settings
from acme_psro.system.executors.placing import Placing
from acme_psro.system.lock import locked
from acme_psro.system.streams import quiet_stderr
from agents import registry
from agents.settings import check_names

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
flags.DEFINE_multi_string(
    "set_replay", [], "NAME=VALUE, a setting of the replay, as --set=replay_settings.NAME=VALUE."
)
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
flags.DEFINE_integer(
    "snapshots", 0, "In a game, policies that a program stores, evenly spaced through training."
)
for _shared in (config_flag, settings_flag, placing_flags):
    flags.adopt_module_key_flags(_shared)

FLAGS = flags.FLAGS

_REPLAY_GROUP = "replay_settings"
_GROUPS = (AGENT_GROUP, _REPLAY_GROUP)


def build_config(file: FileValues) -> AgentRunConfig:
    """Builds the run's configuration from the flags and the file.

    Args:
      file: the values of the file that `--config` names.

    Raises:
      ValueError: a flag has an invalid value.
    """
    groups = parse_settings(FLAGS.set, _GROUPS)
    replay = parse_settings(FLAGS.set_replay, _GROUPS, "set_replay", _REPLAY_GROUP)
    if replay[AGENT_GROUP]:
        raise ValueError(f"--set_replay is for settings of the replay: use --set={AGENT_GROUP}.NAME=VALUE.")
    in_file = {group: {} if group in _for_others(file) else file.groups[group] for group in _GROUPS}
    opponent = FLAGS.opponent and str(command_line.path_of("opponent", FLAGS.opponent))
    return AgentRunConfig(
        agent=FLAGS.agent,
        environment=FLAGS.environment.strip(),
        actor_steps=FLAGS.actor_steps,
        seed=FLAGS.seed,
        player=FLAGS.player,
        opponent=opponent,
        preset=FLAGS.preset,
        agent_settings=in_file[AGENT_GROUP] | groups[AGENT_GROUP],
        replay=FLAGS.replay,
        replay_settings=in_file[_REPLAY_GROUP] | groups[_REPLAY_GROUP] | replay[_REPLAY_GROUP],
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
        snapshots=FLAGS.snapshots,
    )


def _for_others(file: FileValues) -> set[str]:
    """Returns the groups of the file that are for another agent than the command line asks for."""
    return {AGENT_GROUP} if "agent" in file.replaced else set()


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
            file = config_flag.read(__name__, _GROUPS)
            config = build_config(file)
            command_line.check_used(config.unused())
            config_flag.warn_of_unused(file, {*config.unused(), *_for_others(file)})
            directory = output_directory()
            placing = placing_flags.read_placing()
            if config.lp_launch_type == "vertex_ai":
                if FLAGS.import_module:
                    raise ValueError("--import_module is for programs on this machine, not for Vertex AI.")
                installed.check_acme_layer()
                checks.check(config, directory)
            run_directory.check(directory, config, FLAGS.resume)
            _check_placing(config, placing)
            held.enter_context(locked(directory))
            installed.check_acme_layer()
            jax_settings.check_platforms()
            placement.check(config.learner_devices)
            if config.distributed and config.lp_launch_type != "vertex_ai" and not placing.is_remote:
                placement.check_actors("num_actors", config.num_actors)
            _check_settings(config)
            _check_budget(config)
            _warn_of_shared_observations(config)
        if config.replay == "reverb" and not config.distributed:
            # Reverb's C++ code logs each of its clients, and the end of its server.
            held.enter_context(quiet_stderr())
            held.callback(gc.collect)
        sys.exit(launch.run(config, directory, _STARTED, placing))


def _check_placing(config: AgentRunConfig, placing: Placing) -> None:
    """Checks that the run has a program for a cluster, and connects to the cluster; does nothing without one.

    Raises:
      ValueError: it has none, or the cluster cannot be used.
    """
    if not placing.is_remote:
        return
    if not config.distributed or config.lp_launch_type == "vertex_ai":
        raise ValueError("--executor=ray needs --distributed, and no --lp_launch_type=vertex_ai.")
    placement.check_counted_by_ray(config.learner_devices)
    from acme_psro.system.executors import cluster

    cluster.connect(placing)


def _check_settings(config: AgentRunConfig) -> None:
    """Checks that all settings in groups exist.

    Raises:
      ValueError: one does not; the message proposes similar names.
    """
    from agents.acme_layer.replay import ReplayConfig

    owners = {AGENT_GROUP: registry.AGENTS[config.agent].core().defaults, _REPLAY_GROUP: ReplayConfig()}
    check_names({group: getattr(config, group) for group in _GROUPS}, owners)


def _warn_of_shared_observations(config: AgentRunConfig) -> None:
    """Prints a warning if networks cannot tell all information states of the player in a game apart."""
    if config.kind != "openspiel":
        return
    # Imported here, because runs in other environments do not need OpenSpiel.
    from acme_psro.games import sharing

    line = sharing.find_shared(config.environment.partition(":")[2], config.player)
    if line is not None:
        print(f"warning: {line}", file=sys.stderr, flush=True)


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
