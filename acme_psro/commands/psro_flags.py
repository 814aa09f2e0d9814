"""Flags of `acme-psro run`, and the settings that some of them stand for."""

from __future__ import annotations

from absl import flags

from acme_psro.agent_runs.config import LOCAL_LAUNCH_TYPES
from acme_psro.commands import config_flag, neupl_flags, placing_flags, settings_flag
from acme_psro.commands.settings_flag import AGENT_GROUP
from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.population_runs import defaults
from acme_psro.population_runs.config import (
    CE_RESPONSES,
    ORACLE_NAMES,
    ORACLES,
    PAYOFFS,
    WARM_STARTS,
)
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
FLAGS_OF_GROUPS: dict[str, dict[str, str]] = {
    "device": _DEVICE,
    "launchpad": _LAUNCHPAD,
    "simulation": _SIMULATION,
    "neupl": neupl_flags.SETTINGS,
    AGENT_GROUP: {},
}
