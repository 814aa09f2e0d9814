"""Configuration of neural population learning, as one frozen dataclass that validates itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from acme_psro.neupl.interaction_graph import get_graph

SINKS = ("uniform", "first_actions")
PAYOFFS = ("exact", "estimated")
_POLICY = ".npz"


def find_files(sink: str) -> tuple[Path, ...]:
    """Returns the files of stored policies that a sink names; none if it is something else."""
    parts = [part.strip() for part in sink.split(",")]
    return tuple(map(Path, parts)) if all(part.endswith(_POLICY) for part in parts) else ()


@dataclasses.dataclass(frozen=True)
class NeuPLConfig:
    """Configuration of NeuPL (Liu et al. 2022) and of Simplex-NeuPL (Liu et al. 2022b).

    Attributes:
      population_size: members of each player, the sink included.
      graph: name of the interaction graph's maker, a key of `acme_psro.neupl.interaction_graph.GRAPHS`.
      row_tolerance: rows of the graph are the same member if the sum of their differences is at most this.
      sink: the fixed policy of member 0: "uniform"; "first_actions", which prefers actions of low index; or
        the file of a stored policy, see `acme_psro.neupl.sinks`. A file is of one player, and the other
        player's sink is uniform, unless the files of both are named, joined by a comma.
      sink_digest: digest of the policies in these files, by which a run notices that they have changed; "" to
        take them as they are. Runs set it themselves.
      rounds: rounds of an epoch. In each, members' tables are computed, games are played, and the network is
        updated; the graph is made anew after each epoch.
      num_envs: games that each player learns from in a round, side by side.
      updates_per_round: gradient steps of a round.
      batch_size: decisions in an update, of both players.
      buffer_size: decisions that are kept for updates; rounded down to whole rounds.
      trembles: share of games against a member drawn evenly instead of by the graph, so that members are
        sensible at information states that their mixtures never reach.
      tremble_weight: weight of decisions in these games.
      freezing: whether members are frozen from below: a member whose gain has not grown for `patience` epochs
        stays what it was at its best, and the next ones go on. Gains are exact, in a program by games.
      patience: epochs; see `freezing`.
      enough: a member that gains this share of an exact response's gain is frozen at once.
      active_members: number of members of each player, the first that are not frozen, that learn at the same
        time; 0 for all of them.
      simplex: share of training games that are played for a mixture drawn evenly from the simplex of all
        members, instead of a row of the graph (Simplex-NeuPL's epsilon).
      simplex_mixtures: mixtures that are drawn in each round for each player.
      payoffs: "exact" for the members' exact payoffs; "estimated" for payoffs that are learned from the
        outcomes of games, as in the paper. The graph and the players' play follow from them.
      evaluation: share of games that are played between pairs of members drawn evenly, from which nothing but
        payoffs is learned (Liu et al. 2022 take 0.3); of the games that a round begins with.
      stored_outcomes: the number of outcomes, the newest ones, that payoffs are estimated from; rounded down
        to whole rounds.
      estimator_updates: gradient steps of the payoff estimator in a round.
    """

    population_size: int = 8
    graph: str = "psro_nash"
    row_tolerance: float = 1e-3
    sink: str = "uniform"
    sink_digest: str = ""
    rounds: int = 5
    num_envs: int = 512
    updates_per_round: int = 20
    batch_size: int = 2048
    buffer_size: int = 100_000
    trembles: float = 0.2
    tremble_weight: float = 0.1
    freezing: bool = False
    patience: int = 2
    enough: float = 0.97
    active_members: int = 0
    simplex: float = 0.0
    simplex_mixtures: int = 16
    payoffs: str = "exact"
    evaluation: float = 0.3
    stored_outcomes: int = 20_000
    estimator_updates: int = 40

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise ValueError(
                f"--population_size must be at least 2, a sink and a member that learns, not "
                f"{self.population_size}."
            )
        get_graph(self.graph)
        if self.sink not in SINKS and not self.sink_files:
            raise ValueError(
                f"sink must be one of {', '.join(SINKS)}, or the file of a stored policy ({_POLICY}), not "
                f"{self.sink}."
            )
        counts = ("rounds", "num_envs", "updates_per_round", "batch_size", "buffer_size", "patience")
        for name in (*counts, "simplex_mixtures", "stored_outcomes", "estimator_updates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("row_tolerance", "active_members"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}.")
        for name in ("trembles", "tremble_weight", "enough", "simplex"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)}.")
        self._check_payoffs()

    def _check_payoffs(self) -> None:
        if self.payoffs not in PAYOFFS:
            raise ValueError(f"neupl.payoffs must be one of {', '.join(PAYOFFS)}, not {self.payoffs}.")
        if not 0 < self.evaluation < 1:
            raise ValueError(
                f"evaluation must lie between 0 and 1, not {self.evaluation}: payoffs are estimated from it."
            )

    @property
    def sink_files(self) -> tuple[Path, ...]:
        """Returns the files of the sinks; none if the sink has a name."""
        return find_files(self.sink)

    @property
    def updates(self) -> int:
        """Returns the gradient steps of an epoch."""
        return self.rounds * self.updates_per_round

    @property
    def context_size(self) -> int:
        """Returns the numbers of a context: a row of the graph, and the player."""
        return self.population_size + 1

    @property
    def num_drawn(self) -> int:
        """Returns the number of mixtures that are drawn in a round for each player."""
        return self.simplex_mixtures if self.simplex else 0
