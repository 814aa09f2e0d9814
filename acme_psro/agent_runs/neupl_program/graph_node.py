"""Worker of the node that estimates payoffs from evaluation games and serves the interaction graph."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import jax.numpy as jnp
import launchpad as lp
import numpy as np
from acme import core
from acme.utils import counting

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.neupl_program import frozen, graph_state, population_files
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.exact_figures import ExactFigures
from acme_psro.agent_runs.neupl_program.frozen import Served
from acme_psro.agent_runs.neupl_program.judging import Judge
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.agent_runs.program.workers import reporting
from acme_psro.games.loading import largest_return
from acme_psro.neupl.interaction_graph import effective_size
from acme_psro.neupl.payoff_estimator import Outcomes, make_estimator
from acme_psro.neupl.sinks import read_sinks
from acme_psro.oracles.base import Counts
from acme_psro.policies import networks
from acme_psro.system import archives, files, tables

_POLL_SECONDS = 0.2
# Gradient steps of the estimator in one call.
_UPDATES = 20
# Longest time for which the estimator learns before the node looks around.
_ESTIMATE_SECONDS = 1.0


class GraphNode(core.Worker):
    """Estimates payoffs, makes graphs, stores populations, and ends the program after its last epoch.

    Args:
      config: configuration of the program.
      directory: the program's directory.
      about: description of the network, see `NeuPLPopulation.about`.
      variable_source: the learner.
      counter: counts of the whole program.
      measure: population -> exact figures; None if the game is not compiled. Needed for exact payoffs.
    """

    def __init__(
        self,
        config: NeuPLProgramConfig,
        directory: Path,
        about: dict[str, Any],
        variable_source: core.VariableSource,
        counter: counting.Counter,
        measure: Callable[[NeuPLPopulation], ExactFigures] | None = None,
    ) -> None:
        self._config, self._members = config, config.members
        self._directory, self._about = directory, about
        self._variable_source, self._counter = variable_source, counter
        self._measure = measure
        self._scale = largest_return(config.game)
        self._sinks = read_sinks(self._members, about["game"])
        num = self._members.population_size
        estimator = make_estimator(num, config.estimator_config, updates=_UPDATES)
        self._estimator = estimator._replace(fit=jax.jit(estimator.fit), predict=jax.jit(estimator.predict))
        self._state = self._restore()
        self._error = float("nan")
        self._judge = Judge(
            config.game, directory, config.freezing_games, self._members.patience, config.seed
        )
        self._lock = threading.Lock()
        self._inbox: list[Outcomes] = []
        self._served = self._make_served()
        tables.keep(directory / "epochs.csv", "epoch", self._state.epoch)

    def get_graph(self) -> Served:
        """Returns the newest graph."""
        with self._lock:
            return self._served

    def add_games(self, first: np.ndarray, second: np.ndarray, outcome: np.ndarray) -> Served:
        """Takes the fields of `Outcomes`; returns the newest graph."""
        with self._lock:
            self._inbox.append(Outcomes(first, second, outcome))
            return self._served

    def run(self) -> None:
        """Runs until the program stops, or stops it after the last epoch."""
        with reporting(self._directory):
            table = tables.Table(self._directory / "epochs.csv", "epoch")
            saved_at = time.monotonic()
            while not lp.wait_for_stop(_POLL_SECONDS):
                if self._state.epoch >= self._config.epochs:
                    self._end()
                    return
                self._receive()
                self._estimate()
                counts = self._counter.get_counts()
                steps = counts.get("learner_gradient_steps", 0.0)
                if steps >= self._state.due and self._has_estimate():
                    self._advance(table, counts)
                    saved_at = time.monotonic()
                elif time.monotonic() - saved_at > self._config.checkpoint_seconds:
                    self._save()
                    saved_at = time.monotonic()
            self._save()

    def _receive(self) -> None:
        with self._lock:
            inbox, self._inbox = self._inbox, []
        for games in inbox:
            self._state = graph_state.receive(self._state, games)

    def _estimate(self) -> None:
        """Trains the estimator until every outcome has been used often enough, or for a moment."""
        began = time.monotonic()
        drawn = _UPDATES * self._config.estimator_config.batch_size
        while self._state.waiting * self._config.outcome_uses >= drawn:
            self._state, self._error = graph_state.estimate(self._state, self._estimator)
            self._state = graph_state.settle(self._state, drawn / self._config.outcome_uses)
            if time.monotonic() - began > _ESTIMATE_SECONDS:
                return

    def _has_estimate(self) -> bool:
        """Returns True if payoffs are more than guesses. Before the estimator learned, they are all 0."""
        if self._config.payoffs == "exact":
            return True
        is_trained = bool(self._state.estimator.step > 0)
        return is_trained and self._state.received >= self._config.min_outcomes

    def _advance(self, table: tables.Table, counts: dict[str, float]) -> None:
        """Stores the population, and makes the next graph."""
        population = self._freeze(counts)
        exact = None if self._measure is None else self._measure(population)
        row = self._row(population, exact, counts)
        if exact is not None and self._config.payoffs == "exact":
            population = population._replace(payoffs=exact.payoffs)
        steps, every = population.counts.gradient_steps, self._config.epoch_steps
        after = graph_state.advance(self._state, population.payoffs, self._members, steps, every)
        row["graph_change"] = float(np.abs(after.graph - population.graph).sum(axis=2).mean())
        # The row comes first, so that it is there for a reader of the population. The node's own state comes
        # last: if the node is lost before, this epoch is made once more.
        table.write(row)
        population_files.write(self._directory, population)
        self._state = after
        self._save()
        with self._lock:
            self._served = self._make_served()

    def _freeze(self, counts: dict[str, float]) -> NeuPLPopulation:
        """Judges the frontier, and returns the population with all members that are fixed then."""
        population, before = self._make_population(counts), self._state.frozen
        # A node that was lost after its judgement does not judge again: what is fixed stays fixed.
        if before is not None and before.epoch < population.epoch:
            after = self._judge(before, population)
            self._state = dataclasses.replace(self._state, frozen=after)
            self._save()
            frozen.prune(self._directory, after.names.values())
            # The same network: what was judged is what is stored.
            return self._make_population(counts, population.variables)
        return population

    def _make_served(self) -> Served:
        state = self._state
        return Served(state.epoch, state.graph, {} if state.frozen is None else state.frozen.fixed)

    def _predict(self, graph: np.ndarray) -> np.ndarray:
        """Returns estimated payoffs `[P, N, N]` of members with the rows of a graph, in utility units."""
        predicted = self._estimator.predict(self._state.estimator, jnp.asarray(graph, jnp.float32))
        return np.asarray(predicted, np.float64) * self._scale

    def _make_population(
        self, counts: dict[str, float], variables: dict[str, np.ndarray] | None = None
    ) -> NeuPLPopulation:
        """Returns the members by these variables, by default the newest, with estimated payoffs."""
        state, held = self._state, self._state.frozen
        graph = state.graph if held is None else held.keep_rows(state.graph)
        if variables is None:
            variables = networks.to_arrays(self._variable_source.get_variables(["policy"])[0])
        return NeuPLPopulation(
            epoch=state.epoch + 1,
            about=self._about,
            variables=variables,
            graph=graph,
            payoffs=self._predict(graph),
            counts=Counts(
                episodes=int(counts.get("actor_episodes", 0)) + state.received,
                env_steps=int(counts.get("actor_steps", 0)),
                gradient_steps=int(counts.get("learner_gradient_steps", 0)),
            ),
            evaluation_games=state.received,
            sinks=self._sinks,
            fixed={} if held is None else held.files(self._directory),
        )

    def _row(
        self, population: NeuPLPopulation, exact: ExactFigures | None, counts: dict[str, float]
    ) -> dict[str, float]:
        """Returns the row of `epochs.csv`, all but the change of the graph."""
        row = {
            "epoch": float(population.epoch),
            "actor_steps": counts.get("actor_steps", 0.0),
            "actor_episodes": counts.get("actor_episodes", 0.0),
            "gradient_steps": counts.get("learner_gradient_steps", 0.0),
            "evaluation_games": float(self._state.received),
            "estimator_error": self._error,
            "effective_size": float(effective_size(population.graph)),
        }
        if self._members.freezing:
            row["frozen"] = float(population.num_frozen)
        if exact is not None:
            row["payoff_error"] = float(np.abs(exact.payoffs - population.payoffs).mean())
            row["exploitability"] = exact.exploitability
        return row

    def _end(self) -> None:
        """Stores the members, and stops the program once the learner has saved everything."""
        population = population_files.read(self._directory)
        population_files.write_members(population, population_files.place_in(self._directory))
        run_directory.write_ending(self._directory, self._counter.get_counts())
        while not (run_directory.has_finished(self._directory) or lp.wait_for_stop(_POLL_SECONDS)):
            pass
        lp.stop()

    @property
    def _checkpoint(self) -> Path:
        return self._directory / "graph.npz"

    def _save(self) -> None:
        content = archives.pack(graph_state.to_arrays(self._state), compressed=False)
        files.write_atomically(self._checkpoint, content)

    def _restore(self) -> graph_state.GraphState:
        config = self._config
        if not self._checkpoint.exists():
            return graph_state.start(
                self._estimator, self._members, config.stored_outcomes, config.epoch_steps, config.seed
            )
        with np.load(self._checkpoint, allow_pickle=False) as stored:
            return graph_state.from_arrays(dict(stored), self._estimator, config.stored_outcomes)
