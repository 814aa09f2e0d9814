"""Population runs in games that compile to graphs of merged states: exact payoffs, learned responses.

Responses to mixtures are learned one after the other, or all members of a population at once. Payoffs cost a
sweep over the graph. The exact figures of a mixture are a search over all that a responder may
remember, which takes from seconds to minutes: `PSROConfig.exact_every` says how often it is made.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np

from acme_psro.evaluation.belief_levels import MemoryBoundError
from acme_psro.evaluation.beliefs import Progress
from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.on_graph import GraphMetaGame
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_graph_maker
from acme_psro.neupl.on_graph import make_graph_sinks
from acme_psro.neupl.responses import known_payoffs
from acme_psro.policies.on_graph import GraphPolicy
from acme_psro.population_runs.base import PopulationRun, count_iterations
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.graph_figures import GraphFigures, evaluate_state, unknown_figures
from acme_psro.population_runs.meta_regret import RegretWarning
from acme_psro.population_runs.metrics import Row, exact_row, is_known, wall_seconds
from acme_psro.population_runs.oracles import prepare_graph_oracle
from acme_psro.psro import meta_solving, neupl, registry
from acme_psro.psro.loop import Loop, PSROState
from acme_psro.solvers import check_solver_fits, get_solver
from acme_psro.solvers.properties import Concept, properties_of
from acme_psro.storage import formats
from acme_psro.storage.record import Record

State = PSROState[GraphPolicy, np.ndarray]


class GraphRun(PopulationRun[GraphPolicy, np.ndarray]):
    """A run in a game that is compiled to a graph, see `acme_psro.population_runs.base.PopulationRun`.

    Args:
      config: the run's configuration, with a loop that takes graphs and the device oracle.
      graph: the compiled game.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line if the meta-solver's answer is no equilibrium, and if a mixture is too large
        for exact figures.

    Raises:
      ValueError: a setting is not allowed, or the loop or the meta-solver does not fit the game.
    """

    def __init__(
        self, config: PSROConfig, graph: GameGraph, started: float, warn: Callable[[str], None]
    ) -> None:
        registry.check_loop_fits(config.loop, graph.num_players, graph.zero_sum)
        if registry.get_loop(config.loop).uses_solver:
            check_solver_fits(config.meta_solver, graph.num_players, graph.zero_sum)
        self.config = config
        entry = registry.get_loop(config.loop)
        self._trains_members, self._is_joint = entry.trains_members, entry.is_joint
        self._concept = properties_of(config.meta_solver).concept
        self.form = formats.of_graph(graph, lasting=not self._trains_members)
        members = NeuPLConfig(**config.neupl) if self._trains_members else NeuPLConfig()
        self._payoffs_are_exact = members.payoffs == "exact"
        first = make_graph_sinks(graph, members) if self._trains_members else None
        self.meta_game = GraphMetaGame(graph, first)
        self.loop = _make_loop(config, graph, self.meta_game, members)
        self.oracle = prepare_graph_oracle(config, graph)
        self._graph = self.compiled = graph
        self._regret_warning = RegretWarning(config.meta_solver, warn)
        self._warn, self._is_too_large = warn, False
        self._started = started
        self._compiled = time.monotonic() - started
        # The newest figures, and the iteration that they belong to: they are asked for several times.
        self._known: tuple[int, GraphFigures] | None = None
        # Progress of the searches of an evaluation by responder; empty if none is going on.
        self._searches: dict[int, Progress] = {}

    def describe(self) -> str:
        graph = self._graph
        return (
            f"{graph.game_string}: {graph.num_nodes:,} merged states, {graph.num_observations:,} "
            f"observations of movers, compiled in {self._compiled:.1f} s"
        )

    def describe_task(self) -> list[str]:
        return [
            f"evaluating the mixture: player {player}'s best response, {search.information_states:,} "
            f"information states, about {100 * search.share:.0f} %"
            for player, search in sorted(self._searches.items())
        ]

    def converged(self, state: State) -> bool:
        if not self._is_due(state.iteration):
            return False
        return bool(self._evaluate(state).sought(self._concept).max() <= self.config.tolerance)

    def holds(self, population: tuple[GraphPolicy, ...], response: GraphPolicy) -> bool:
        # A uniform meta-strategy is fictitious play: a policy that is found again must get more weight.
        is_fictitious_play = self.config.meta_solver == "uniform"
        return not is_fictitious_play and any(
            np.array_equal(policy.table, response.table) for policy in population
        )

    def add_row(self, before: Sequence[Row], state: State, seconds: float) -> list[Row]:
        self._regret_warning.check(state.iteration, state.payoffs, state.meta_strategy)
        wall = wall_seconds(before, seconds, time.monotonic() - self._started)
        # Gains of members are over those before them, not over the mixture of the row before.
        if before and not self._trains_members:
            state = _with_best_gains(state, before[-1])
        figures = unknown_figures(self._graph.num_players, self._is_joint)
        if self._is_due(state.iteration):
            figures = self._evaluate(state)
        row = exact_row(state, figures.mixture, seconds, wall, self.config.tolerance, concept=self._concept)
        return [*before, row | figures.columns(self._concept)]

    def conclude(self, record: Record[GraphPolicy, np.ndarray]) -> Record[GraphPolicy, np.ndarray]:
        """Completes the last row with the exact figures, if it lacks them."""
        *others, last = record.metrics
        if is_known(last):
            return record
        return dataclasses.replace(
            record, metrics=[*others, last | self._evaluate(record.state).columns(self._concept)]
        )

    def tidy(self, iteration: int) -> None:
        del iteration

    def outcome(self, record: Record[GraphPolicy, np.ndarray]) -> str:
        done = record.state.iteration
        if self.converged(record.state):
            found = f", so the joint distribution is a {self._concept.value}" if self._is_joint else ""
            return (
                f"Converged after {count_iterations(done)}: no player gains more than "
                f"{self.config.tolerance:g} by an exact best response{found}."
            )
        return self.say_stopped(done)

    def summary(self, record: Record[GraphPolicy, np.ndarray]) -> str:
        last = record.metrics[-1]
        figures = f"Exploitability {last['exploitability']:.6f}, NashConv {last['nash_conv']:.6f}."
        if not is_known(last):
            figures = "Exact figures are unknown, as the search for them needs too much memory."
        elif self._is_joint:
            after = f"CE gap {last['ce_gap']:.6f}, " if self._concept is Concept.CE else ""
            figures = (
                f"CCE gap {last['cce_gap']:.6f}, {after}welfare {last['welfare']:.6f}. If players drew "
                f"independently: NashConv {last['nash_conv']:.6f}."
            )
        return f"{self.outcome(record)} {figures}"

    def _watch(self, progress: Progress) -> None:
        # A new dictionary each time, as another thread may be describing the old one.
        self._searches = {**self._searches, progress.player: progress}

    def _is_due(self, iteration: int) -> bool:
        """Returns True if an iteration's mixture is evaluated before the next iteration."""
        return iteration % self.config.exact_every == 0

    def _evaluate(self, state: State) -> GraphFigures:
        """Returns a state's figures; they are unknown if the search for them needs too much memory."""
        if self._known is None or self._known[0] != state.iteration:
            try:
                figures = evaluate_state(
                    self._graph, state, self._concept, self._payoffs_are_exact, self._watch
                )
            except MemoryBoundError as error:
                if not self._is_too_large:
                    self._warn(
                        f"exact figures are unknown after {count_iterations(state.iteration)}: {error}"
                    )
                self._is_too_large = True
                figures = unknown_figures(self._graph.num_players, self._is_joint)
            self._searches = {}
            self._known = state.iteration, figures
        return self._known[1]


def _make_loop(
    config: PSROConfig, graph: GameGraph, meta_game: GraphMetaGame, members: NeuPLConfig
) -> Loop[GraphPolicy, np.ndarray]:
    """Returns the run's loop.

    Raises:
      ValueError: a setting does not fit the loop, or the loop does not fit the game.
    """
    solve = get_solver(config.meta_solver)
    if config.loop == "neupl":
        _check_freezing(members, graph)
        return neupl.make_loop(meta_game, solve, members, make_graph_maker(members), known_payoffs)
    takes_others = bool(config.device.get("self_play"))
    if takes_others and config.loop != "psro":
        raise ValueError(
            f"device.self_play needs --loop=psro, and not --loop={config.loop}: policies that learn beside "
            "responses join populations that a meta-solver of marginals mixes."
        )
    # Other runs do without what solves restricted games, which takes long to import.
    if config.loop == "xdo":
        from acme_psro.psro import xdo_on_graph

        return xdo_on_graph.make_loop(graph, meta_game, config.tolerance)
    if config.loop == "jpsro":
        from acme_psro.psro import joint_on_graph

        concept = properties_of(config.meta_solver).concept
        return joint_on_graph.make_loop(graph, meta_game, solve, concept, config.ce_responses)
    return dataclasses.replace(meta_solving.make_loop(meta_game, solve), takes_others=takes_others)


def _check_freezing(members: NeuPLConfig, graph: GameGraph) -> None:
    """Checks that members are not frozen by gains that are unknown.

    Raises:
      ValueError: they are.
    """
    if members.freezing:
        raise ValueError(
            f"--freezing needs a game that compiles to a tree, and {graph.game_string} is a graph: members "
            "are frozen by their exact gains, which take too long on graphs. Leave it out, or use "
            "--oracle=launchpad."
        )


def _with_best_gains(state: State, row: Row) -> State:
    """Returns the state with the gains of exact best responses beside those of its responses.

    They are the exact figures of what was responded to, in the row before; NaN if it has none.
    """
    # Those over a joint distribution, if there is one.
    name = "cce_gain" if "cce_gap" in row else "gain"
    responses = tuple(
        dataclasses.replace(response, best_gain=row[f"{name}_{player}"])
        for player, response in enumerate(state.responses)
    )
    return dataclasses.replace(state, responses=responses)
