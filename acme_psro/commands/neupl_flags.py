"""Flags of populations whose members share one network: of `acme-psro neupl`, and `run` with --loop=neupl."""

from __future__ import annotations

from absl import flags

from acme_psro.neupl.config import SINKS
from acme_psro.neupl.interaction_graph import GRAPHS

flags.DEFINE_integer("population_size", None, "Members of each player, the sink included.")
flags.DEFINE_string(
    "graph", None, f"Interaction graph, the mixtures that members learn to exploit: {', '.join(GRAPHS)}."
)
flags.DEFINE_string(
    "sink",
    None,
    f"Policy of member 0, which never learns: {', '.join(SINKS)}, or the file of a stored policy; files of "
    "both players are joined by a comma.",
)
flags.DEFINE_boolean("freezing", None, "Freeze members one after the other, each at its best.")
flags.DEFINE_integer(
    "active_members", None, "Members of each player that learn at a time; 0 for all of them."
)
flags.DEFINE_float(
    "simplex", None, "Share of games for mixtures drawn from the simplex of all members (Simplex-NeuPL)."
)

# The names of the flags are those of the settings, fields of `acme_psro.neupl.config.NeuPLConfig`.
SETTINGS = {
    name: name for name in ("population_size", "graph", "sink", "freezing", "active_members", "simplex")
}
