"""Population runs in compiled games, with exact payoffs, exact metrics and any oracle."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acme_psro.evaluation.correlated import cce_gains, ce_gains
from acme_psro.evaluation.exact import Evaluation, evaluate_mixture
from acme_psro.games.sharing import describe_shared
from acme_psro.games.symmetry import require_counterparts
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.sinks import make_sinks
from acme_psro.oracles.base import Closing
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Policy
from acme_psro.population_runs.base import PopulationRun, count_iterations
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.meta_regret import RegretWarning
from acme_psro.population_runs.metrics import Row, exact_row, wall_seconds
from acme_psro.population_runs.oracles import prepare_oracle
from acme_psro.psro import loop, registry, symmetric
from acme_psro.psro.loop import PSROState, independent
from acme_psro.psro.meta_solving import SolveMetaGame
from acme_psro.psro.rounds import round_key
from acme_psro.solvers import check_solver_fits, get_solver
from acme_psro.solvers.properties import Concept, properties_of
from acme_psro.storage import formats
from acme_psro.storage.record import Record
from acme_psro.system.executors.placing import LOCAL, Placing

State = PSROState[Policy, np.ndarray]

_OF_POPULATION = "population_exploitability"
# Policies are the same if none of their probabilities differs by more than this.
_SAME = 1e-12


class ExactRun(PopulationRun[Policy, np.ndarray]):
    """A run in a compiled game, see `acme_psro.population_runs.base.PopulationRun`.

    Args:
      config: the run's configuration.
      tree: the compiled game.
      directory: the run's directory.
      started: the value of `time.monotonic()` when the process began.
      warn: called with one line for each failure of a program, if networks see less than a best response,
        and if the meta-solver's answer is no equilibrium.
      placing: the machines on which responses are trained.

    Raises:
      ValueError: a setting is not allowed, or the loop or the meta-solver does not fit the game.
    """

    def __init__(
        self,
        config: PSROConfig,
        tree: GameTree,
        directory: Path,
        started: float,
        warn: Callable[[str], None],
        placing: Placing = LOCAL,
    ) -> None:
        registry.check_loop_fits(config.loop, tree.num_players, tree.zero_sum)
        self._entry = registry.get_loop(config.loop)
        if self._entry.uses_solver:
            check_solver_fits(config.meta_solver, tree.num_players, tree.zero_sum)
        self.config = config
        self.form = formats.of_tree(tree, lasting=self._entry.is_lasting)
        members = NeuPLConfig(**config.neupl) if self._entry.trains_members else NeuPLConfig()
        first = make_sinks(tree, members) if self._entry.trains_members else None
        self.meta_game = ExactMetaGame(tree, first)
        solve: SolveMetaGame = get_solver(config.meta_solver)
        if config.symmetric:
            counterparts = require_counterparts(tree)
            symmetric.check_solver_shares(config.meta_solver, tree.zero_sum)
            solve = symmetric.solve_evenly(solve)
        self._concept = properties_of(config.meta_solver).concept
        parts = registry.Parts(
            tree, self.meta_game, solve, config.tolerance, members, self._concept, config.ce_responses
        )
        self.loop = self._entry.make(parts)
        if config.symmetric:
            self.loop = symmetric.share(self.loop, tree, counterparts)
        self.oracle = prepare_oracle(config, directory, warn, placing)(tree)
        self.is_repeatable = config.oracle == "exact"
        self._tree = self.compiled = tree
        self._is_two_player_zero_sum = tree.num_players == 2 and tree.zero_sum
        self._regret_warning = RegretWarning(config.meta_solver, warn)
        self._directory = directory
        self._started = started
        self._compiled = time.monotonic() - started
        shared = None if config.oracle == "exact" else describe_shared(tree)
        if shared is not None:
            warn(shared)

    def close(self) -> None:
        if isinstance(self.oracle, Closing):
            self.oracle.close()

    def describe(self) -> str:
        tree = self._tree
        return (
            f"{tree.game_string}: {tree.num_nodes:,} nodes, {tree.num_infosets:,} information states, "
            f"compiled in {self._compiled:.1f} s"
        )

    def converged(self, state: State) -> bool:
        # Exact members end when they change no more, which one more epoch shows. An equilibrium of members
        # that still change may be left again.
        settles = self._entry.trains_members and self.is_repeatable
        return not settles and self._is_equilibrium(state)

    def _is_equilibrium(self, state: State) -> bool:
        return bool(self._gains(state).max() <= self.config.tolerance)

    def _gains(self, state: State) -> np.ndarray:
        """Returns `[P]`: what each player gains over what the run looks for."""
        if not isinstance(state.meta_strategy, JointStrategy):
            return self._evaluate(state).per_player_gain
        gains = ce_gains if self._concept is Concept.CE else cce_gains
        return gains(self._tree, state.populations, state.meta_strategy, state.payoffs)

    def holds(self, population: tuple[Policy, ...], response: Policy) -> bool:
        # A uniform meta-strategy is fictitious play: a policy that is found again must get more weight.
        # Members are compared with themselves, to see if they still change.
        is_fictitious_play = self._entry.uses_solver and self.config.meta_solver == "uniform"
        joins = is_fictitious_play and not self._entry.trains_members
        if self._entry.is_joint:
            # What a policy does if it never gets there makes no other distribution over profiles.
            return any(np.abs(policy.plan - response.plan).max() <= _SAME for policy in population)
        return not joins and any(
            np.abs(policy.table - response.table).max(initial=0.0) <= _SAME for policy in population
        )

    def add_row(self, before: Sequence[Row], state: State, seconds: float) -> list[Row]:
        if self._entry.uses_solver:
            self._regret_warning.check(state.iteration, state.payoffs, state.meta_strategy)
        wall = wall_seconds(before, seconds, time.monotonic() - self._started)
        if before and self._is_left_to_the_end:
            # The last row of a run that was ended has it, but it is not the last one any more.
            before = [*before[:-1], before[-1] | {_OF_POPULATION: math.nan}]
        figures = self._evaluate(state)
        of_population = self._population_exploitability(state, figures.exploitability)
        tolerance = self.config.tolerance
        row = exact_row(state, figures, seconds, wall, tolerance, of_population, self._concept)
        return [*before, row]

    def conclude(self, record: Record[Policy, np.ndarray]) -> Record[Policy, np.ndarray]:
        """Completes the last row with the population exploitability, if the rows have it."""
        *others, last = record.metrics
        if not math.isnan(last.get(_OF_POPULATION, 0.0)):
            return record
        known = self._least_exploitable(record.state)
        return dataclasses.replace(record, metrics=[*others, last | {_OF_POPULATION: known}])

    def _population_exploitability(self, state: State, exploitability: float) -> float | None:
        """Returns the population exploitability; NaN if it is left to the end, None if it is not defined."""
        if not self._is_two_player_zero_sum:
            return None
        if self.config.loop == "anytime":
            # Its mixture is the least exploitable one.
            return exploitability
        if self._is_left_to_the_end:
            return math.nan
        return self._least_exploitable(state)

    @property
    def _is_left_to_the_end(self) -> bool:
        """True if the population exploitability is computed for the last row only."""
        # An iteration with exact responses takes less time than the linear programs behind this figure, which
        # the anytime loop solves in any case.
        return (
            self._is_two_player_zero_sum and self.config.oracle == "exact" and self.config.loop != "anytime"
        )

    def _least_exploitable(self, state: State) -> float:
        # Solvers of linear programs take long to import.
        from acme_psro.evaluation.least_exploitable import least_exploitable

        return least_exploitable(self._tree, state.populations).exploitability

    def tidy(self, iteration: int) -> None:
        if self.config.oracle == "launchpad" and not self._entry.trains_members:
            # Imported here so that other oracles do not pay for the import.
            from acme_psro.oracles.launchpad.tasks import tidy_tasks

            players = self._tree.num_players
            # The loop counts completed iterations, so iteration n is run with the key number n - 1.
            key = loop.iteration_key(self.config.seed, iteration - 1)
            for number in itertools.count():
                if not tidy_tasks(self._directory / "responses", round_key(key, number), players):
                    break

    def outcome(self, record: Record[Policy, np.ndarray]) -> str:
        return f"{self._reason(record)}{self._guarantee()}"

    def _guarantee(self) -> str:
        """Returns a sentence if the loop promises nothing in this game, and nothing otherwise."""
        if self.config.loop != "xdo" or self._is_two_player_zero_sum:
            return ""
        return (
            " Restricted games of more than two players or of general sums are solved by regret minimisation "
            "with no guarantee: restricted_gap is what is left."
        )

    def _reason(self, record: Record[Policy, np.ndarray]) -> str:
        """Returns the reason why the run ended."""
        done = record.state.iteration
        if self._is_equilibrium(record.state):
            gains = f"no player gains more than {self.config.tolerance:g} by an exact best response"
            if self._entry.is_joint:
                gains += f", so the joint distribution is a {self._concept.value}"
            if self.converged(record.state) or done < self.config.iterations:
                return f"Converged after {count_iterations(done)}: {gains}."
            return f"{self.say_stopped(done)} By now {gains}; members may still change."
        if done < self.config.iterations:
            # The loop ends before the last iteration for one other reason only.
            if self._entry.trains_members:
                return (
                    f"Stopped after {count_iterations(done)}: the members are best responses to their "
                    "mixtures and change no more; another graph, or more members, may come closer to an "
                    "equilibrium."
                )
            if not self._entry.converges:
                return (
                    f"Stopped after {count_iterations(done)}: all responses are in the populations already, "
                    f"and --loop={self.config.loop} may stop short of an equilibrium; --loop=psro goes on."
                )
            return (
                f"Stopped after {count_iterations(done)}: no oracle finds a new policy. Best responses to "
                "the mixture are in the populations already; a meta-solver with less meta_regret may come "
                "closer to an equilibrium."
            )
        return self.say_stopped(done)

    def summary(self, record: Record[Policy, np.ndarray]) -> str:
        last = record.metrics[-1]
        figures = f"Exploitability {last['exploitability']:.6f}, NashConv {last['nash_conv']:.6f}."
        if self._entry.is_joint:
            figures = (
                f"CCE gap {last['cce_gap']:.6f}, CE gap {last['ce_gap']:.6f}, welfare {last['welfare']:.6f}. "
                f"If players drew independently: NashConv {last['nash_conv']:.6f}."
            )
        return f"{self.outcome(record)} {figures}"

    def _evaluate(self, state: State) -> Evaluation:
        """Returns the evaluation of the mixture; of a joint distribution, that of its marginals."""
        return evaluate_mixture(self._tree, state.populations, independent(state))
