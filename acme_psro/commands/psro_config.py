"""Configuration of `acme-psro run`, from its flags together with a file and defaults.

The flags are those of `acme_psro.commands.psro_flags`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from absl import flags

from acme_psro.commands import command_line, config_flag, psro_flags, settings_flag
from acme_psro.commands.config_flag import FileValues
from acme_psro.commands.psro_flags import FLAGS_OF_GROUPS
from acme_psro.commands.settings_flag import AGENT_GROUP, Groups
from acme_psro.population_runs import defaults
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import complete
from acme_psro.psro.registry import LOOPS

FLAGS = flags.FLAGS


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
    file = config_flag.read(psro_flags.__name__, FLAGS_OF_GROUPS)
    groups = settings_flag.parse_settings(FLAGS.set, FLAGS_OF_GROUPS)
    settings_flag.check_not_both(groups, FLAGS_OF_GROUPS)
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
    names = FLAGS_OF_GROUPS[group]
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
    needs = {flag: option for group, option in groups.items() for flag in FLAGS_OF_GROUPS[group]}
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
