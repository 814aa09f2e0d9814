"""Flags of `acme-psro run`, and the configuration that they describe together with a file and defaults."""

from __future__ import annotations

from typing import Any, NamedTuple

from absl import flags

from acme_psro.agent_runs.config import LOCAL_LAUNCH_TYPES
from acme_psro.commands import command_line, config_flag, neupl_flags, placing_flags, settings_flag
from acme_psro.commands.config_flag import FileValues
from acme_psro.commands.psro_places import first_directory as first_directory
from acme_psro.commands.psro_places import output_directory as output_directory
from acme_psro.commands.settings_flag import AGENT_GROUP, Groups
from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.population_runs import defaults
from acme_psro.population_runs.config import (
    CE_RESPONSES,
    ORACLE_NAMES,
    ORACLES,
    PAYOFFS,
    WARM_STARTS,
    PSROConfig,
)
from acme_psro.population_runs.configure import complete
from acme_psro.psro.registry import LOOPS
from acme_psro.solvers import SOLVERS
from acme_psro.system.executors.placing import PROGRAMS
from agents import registry

flags.DEFINE_string("game", "leduc_poker", "OpenSpiel game string, including parameters.")
flags.DEFINE_string(
    "oracle", "device", f"Oracle that computes best responses: {', '.join((*ORACLES, *ORACLE_NAMES))}."
)
flags.DEFINE_string(
    "agent",
    None,
    f"Agent that learns best responses: {', '.join(registry.response_agents())}; by default crossq, and "
    f"conditional_mpo with --loop=neupl, which takes {' and '.join(registry.member_agents())}, and with "
    "--loop=neupl_jpsro.",
)
flags.DEFINE_string("loop", "psro", f"How best responses become a solution: {', '.join(LOOPS)}.")
flags.DEFINE_string(
    "preset",
    None,
    f"Named budget of the device oracle: {', '.join(defaults.PRESETS)}; by default {defaults.XDO_PRESET} "
    "with --loop=xdo, and that of the game otherwise.",
)
flags.DEFINE_string(
    "warm_start",
    "none",
    f"What a best response begins with: {', '.join(WARM_STARTS)}; with population, the network that its "
    "player's earlier responses learned.",
)
flags.DEFINE_integer(
    "exact_every",
    1,
    "Iterations from one exact evaluation to the next in games that compile to graphs, in which it takes "
    "from seconds to minutes.",
)
flags.DEFINE_boolean(
    "symmetric", False, "Give both players of a symmetric game one population: one response instead of two."
)
flags.DEFINE_string(
    "ce_responses",
    None,
    "With --loop=jpsro and a meta-solver of correlated equilibria, to which recommendations players respond: "
    f"{', '.join(CE_RESPONSES)}; by default {CE_RESPONSES[0]}.",
)
flags.DEFINE_string(
    "meta_solver",
    None,
    f"Meta-solver: {', '.join(SOLVERS)}; by default nash, or max_gini_cce with --loop=jpsro and neupl_jpsro.",
)
flags.DEFINE_integer("iterations", None, "Maximum number of iterations; the default depends on the game.")
flags.DEFINE_integer("seed", 0, "Random seed of the run.")
flags.DEFINE_integer(
    "num_seeds",
    1,
    "Number of seeds, from --seed on, that run side by side, each in its own directory in --output_dir.",
)
flags.DEFINE_string(
    "devices", None, "Local devices on which best responses are trained, such as 0,1; by default all."
)
flags.DEFINE_string("output_dir", None, "Run directory; by default runs/GAME-ORACLE-SEED.")
flags.DEFINE_boolean("resume", False, "Resume the run in the output directory.")
flags.DEFINE_integer("max_nodes", DEFAULT_MAX_NODES, "Games with more nodes are not compiled.")
flags.DEFINE_string("payoffs", "auto", f"How payoffs are computed: {', '.join(PAYOFFS)}.")
flags.DEFINE_float("tolerance", 1e-7, "Stop when no player gains more than this by a best response.")
flags.DEFINE_integer("gradient_steps_per_response", None, "Optimiser updates of each response.")
flags.DEFINE_integer("num_envs", None, "Games played in parallel, for each player.")
flags.DEFINE_integer("batch_size", None, "Transitions in the batch of an update.")
flags.DEFINE_integer("buffer_size", None, "Capacity of the replay buffer in transitions, for each player.")
flags.DEFINE_integer(
    "max_extensions", None, "Maximum number of times that the training of a weak response is extended."
)
flags.DEFINE_integer("actor_steps_per_response", None, "Decisions of a Launchpad program's actors in total.")
flags.DEFINE_integer("actors_per_response", None, "Actors of a Launchpad program.")
flags.DEFINE_integer(
    "games_per_actor", None, "Games that each actor of a Launchpad program plays in parallel."
)
flags.DEFINE_integer("max_parallel_programs", None, "Launchpad programs that run in parallel.")
flags.DEFINE_string(
    "program",
    None,
    f"What a program of --oracle=program runs on: {', '.join(PROGRAMS)}; by default launchpad.",
)
flags.DEFINE_string("lp_launch_type", None, f"How a program runs: {', '.join(LOCAL_LAUNCH_TYPES)}.")
flags.DEFINE_integer(
    "plateau_patience", None, "Evaluations without improvement after which a program ends; 0 disables this."
)
flags.DEFINE_float(
    "plateau_min_improvement", None, "Smallest gain that counts as an improvement, in utility units."
)
flags.DEFINE_string("learner_devices", None, "Devices, such as 0,1, assigned in turn to parallel programs.")
flags.DEFINE_integer(
    "payoff_episodes", None, "With sampled payoffs, minimum number of episodes of every profile."
)
flags.DEFINE_integer(
    "extra_payoff_episodes",
    None,
    "With sampled payoffs, further episodes an iteration for the most informative profiles.",
)
flags.DEFINE_integer("gain_episodes", None, "Episodes that estimate the gain of a response.")
flags.DEFINE_integer("payoff_workers", None, "Simulation processes; by default one for each core.")

for _shared in (config_flag, settings_flag, neupl_flags, placing_flags):
    flags.adopt_module_key_flags(_shared)

FLAGS = flags.FLAGS

# Flags of settings in groups, which only some runs use: the name of the flag, and of the setting.
_DEVICE = {
    "gradient_steps_per_response": "gradient_steps",
    "num_envs": "num_envs",
    "batch_size": "batch_size",
    "buffer_size": "buffer_size",
    "max_extensions": "max_extensions",
}
_LAUNCHPAD = {
    "actor_steps_per_response": "actor_steps",
    "actors_per_response": "actors_per_response",
    "games_per_actor": "games_per_actor",
    "max_parallel_programs": "max_parallel_programs",
    "program": "program",
    "lp_launch_type": "lp_launch_type",
    "plateau_patience": "plateau_patience",
    "plateau_min_improvement": "plateau_min_improvement",
    "learner_devices": "learner_devices",
}
_SIMULATION = {
    "payoff_episodes": "payoff_episodes",
    "extra_payoff_episodes": "extra_payoff_episodes",
    "gain_episodes": "gain_episodes",
    "payoff_workers": "payoff_workers",
}
_FLAGS_OF_GROUPS: dict[str, dict[str, str]] = {
    "device": _DEVICE,
    "launchpad": _LAUNCHPAD,
    "simulation": _SIMULATION,
    "neupl": neupl_flags.SETTINGS,
    AGENT_GROUP: {},
}


class Given(NamedTuple):
    """Values that the user gave beside flags of their own.

    Attributes:
      file: values of the file that `--config` names.
      groups: values that `--set` gave, by name of the setting, for each group of settings.
    """

    file: FileValues
    groups: Groups


def read_given() -> Given:
    """Reads the file of `--config` and the settings of `--set`, and imports the modules of the user.

    Raises:
      ValueError: one of them is not allowed.
    """
    file = config_flag.read(__name__, _FLAGS_OF_GROUPS)
    groups = settings_flag.parse_settings(FLAGS.set, _FLAGS_OF_GROUPS)
    settings_flag.check_not_both(groups, _FLAGS_OF_GROUPS)
    return Given(file, groups)


def build_config(given: Given) -> PSROConfig:
    """Builds the run's configuration from the flags, the file, and the defaults of the game and agent.

    Args:
      given: the values that the user gave beside flags of their own.

    Raises:
      ValueError: a flag has an invalid value.
    """
    return complete(
        FLAGS.game.strip(),
        loop=FLAGS.loop,
        oracle=FLAGS.oracle,
        agent=FLAGS.agent or defaults.default_agent(FLAGS.loop),
        preset=FLAGS.preset,
        meta_solver=FLAGS.meta_solver,
        iterations=FLAGS.iterations,
        seed=FLAGS.seed,
        tolerance=FLAGS.tolerance,
        payoffs=FLAGS.payoffs,
        max_nodes=FLAGS.max_nodes,
        device=_settings(given, "device"),
        launchpad=_settings(given, "launchpad"),
        agent_settings=_settings(given, AGENT_GROUP),
        simulation=_settings(given, "simulation"),
        neupl=_settings(given, "neupl"),
        warm_start=FLAGS.warm_start,
        exact_every=FLAGS.exact_every,
        symmetric=FLAGS.symmetric,
        ce_responses=FLAGS.ce_responses,
    )


def _settings(given: Given, group: str) -> dict[str, Any]:
    """Returns what the user gave of a group: the file's settings, those of flags, and those of `--set`."""
    in_file = {} if group in _for_others(given) else given.file.groups[group]
    names = _FLAGS_OF_GROUPS[group]
    of_flags = {name: FLAGS[flag].value for flag, name in names.items() if FLAGS[flag].value is not None}
    return {**in_file, **of_flags, **given.groups[group]}


def _for_others(given: Given) -> set[str]:
    """Returns the groups of the file that flags on the command line replace as a whole."""
    agent = {AGENT_GROUP} if {"agent", "oracle"} & set(given.file.replaced) else set()
    return agent | ({"device"} if command_line.was_given("preset") else set())


def check_flags(given: Given, config: PSROConfig) -> None:
    """Checks that every flag and setting which the user gave has an effect.

    Args:
      given: the values that the user gave beside flags of their own.
      config: the run's configuration. If its payoffs are still "auto", flags of both kinds are allowed.

    Raises:
      ValueError: a flag has none; the message names the option that it needs.
    """
    command_line.check_used(_needs_of_flags(config))
    for group, option in _needs_of_groups(config).items():
        for name in given.groups[group]:
            raise ValueError(
                f"--set={group}.{name} needs {option}, and has no effect otherwise: leave it out."
            )


def warn_of_unused(given: Given, config: PSROConfig) -> None:
    """Prints a warning that names what the file gives and this run does not use."""
    unused = {*_needs_of_flags(config), *_needs_of_groups(config), *_for_others(given)}
    config_flag.warn_of_unused(given.file, unused)


def _needs_of_groups(config: PSROConfig) -> dict[str, str]:
    """Returns the groups of settings that this run does not use, each with the option that it needs."""
    needs = {}
    if not (LOOPS[config.loop].trains_members or LOOPS[config.loop].distils):
        needs["neupl"] = "--loop=neupl"
    if LOOPS[config.loop].trains_members:
        needs["device"] = "--loop=psro"
    elif config.oracle != "device":
        needs["device"] = "--oracle=device"
    if config.oracle != "launchpad":
        needs["launchpad"] = "--oracle=launchpad"
        needs["simulation"] = "--oracle=launchpad --payoffs=sampled"
    elif config.payoffs == "exact":
        needs["simulation"] = "--payoffs=sampled"
    if config.oracle == "exact":
        needs[AGENT_GROUP] = "--oracle=device or --oracle=launchpad"
    return needs


def _needs_of_flags(config: PSROConfig) -> dict[str, str]:
    """Returns the flags that this run does not use, each with the option that it needs."""
    groups = _needs_of_groups(config)
    needs = {flag: option for group, option in groups.items() for flag in _FLAGS_OF_GROUPS[group]}
    if "device" in groups:
        needs["preset"] = groups["device"]
    elif config.device.get("games_per_response"):
        # Nothing is played while agents learn from kept games.
        needs |= dict.fromkeys(("num_envs", "buffer_size"), "--set=device.games_per_response=0")
    if config.oracle != "device":
        needs["devices"] = "--oracle=device"
    if LOOPS[config.loop].trains_members:
        for name in ("num_envs", "batch_size", "buffer_size"):
            needs[name] = f"--loop=psro (in NeuPL it is --set=neupl.{name})"
    if not LOOPS[config.loop].uses_solver:
        solving = " or ".join(f"--loop={name}" for name, entry in LOOPS.items() if entry.uses_solver)
        needs["meta_solver"] = solving
    if not config.responds_to_recommendations:
        needs["ce_responses"] = (
            "--loop=jpsro with a meta-solver of correlated equilibria, such as max_gini_ce"
        )
    if config.oracle == "exact":
        needs["agent"] = groups[AGENT_GROUP]
    if FLAGS.payoffs == "sampled":
        needs["max_nodes"] = "--payoffs=exact or --payoffs=auto"
    return needs
