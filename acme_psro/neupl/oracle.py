"""The oracle of NeuPL on the device: an epoch of training for all members of both players.

It answers a task for each player with the player's whole population, as `Response.others`. What it has
learned is its memory, which checkpoints keep.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games import rollout
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl import freezing, history, seats, simplex, training
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_graph_maker, make_populations, make_sink, share_of_learning
from acme_psro.neupl.responses import Task, payoffs_of, response_of
from acme_psro.neupl.symmetry import find_counterparts
from acme_psro.neupl.values import Values, member_values
from acme_psro.oracles.base import NO_WORK, Counts, Memory, Response
from acme_psro.policies.tabular import Policy, Population
from acme_psro.system import pytrees
from agents.core import AgentCore, Observation

# (example observation `[1, ..]`, number of actions, gradient steps planned) -> the agent.
MakeAgent = Callable[[Observation, int, int], AgentCore]
# Mixtures by which Simplex-NeuPL is evaluated, and epochs between two evaluations, which take long.
MIXTURES = 100
_EPOCHS_TO_EXPLOIT = 10
# Names of arrays in the memory begin with these.
_FREEZING, _HISTORY = "freezing_", history.PREFIX


class NeuPLOracle:
    """An oracle that trains all members in one network.

    Args:
      tree: the compiled game, two-player and zero-sum.
      make_agent: makes the agent that learns, whose policies depend on their contexts.
      config: the population and the budget of an epoch.
      epochs: the number of epochs planned, over which the agent's schedules run.

    Attributes:
      state: the agent and its experience; None before the first epoch.
      traces: how often the training of an epoch was traced.
    """

    traces: int = 0

    def __init__(self, tree: GameTree, make_agent: MakeAgent, config: NeuPLConfig, epochs: int) -> None:
        self._tree, self._config = tree, config
        self._make_graph = make_graph_maker(tree, config)
        game = rollout.make_arrays(tree)
        seen = seats.make_seats(tree, find_counterparts(tree))
        context = jnp.zeros((1, config.context_size))
        example = Observation(game.info_state[:1], game.legal_actions[:1], context)
        core = make_agent(example, tree.num_actions, epochs * config.updates)
        self._parts = training.make_parts(tree, game, seen, core, config)
        self._train = jax.jit(self._traced)
        self._condition = jax.jit(lambda agent, rows: training.policies(self._parts, agent, rows)[1])
        self.state: training.NeuPLState | None = None
        sink = make_sink(tree, config.sink)
        sinks = [sink[tree.infosets_of(player)] for player in range(2)]
        self._freezing = freezing.start(sinks, config.population_size)
        self._history = history.start(config.population_size)

    def __call__(self, key: np.ndarray, tasks: Sequence[Task]) -> list[Response[Policy]]:
        init_key, epoch_key = jax.random.split(jax.random.wrap_key_data(jnp.asarray(key)))
        if self.state is None:
            self.state = training.init(self._parts, init_key)
        graph = self._make_graph(payoffs_of(tasks))
        fixed = self._freezing.mask(self._config.population_size)
        share = share_of_learning(self._config, graph, fixed)
        plan = training.Plan(
            jnp.asarray(graph, jnp.float32),
            jnp.asarray(share, jnp.float32),
            jnp.asarray(fixed),
            jnp.asarray(np.concatenate(self._freezing.tables, axis=1), jnp.float32),
        )
        epoch = self._train(epoch_key, self.state, plan)
        self.state = epoch.state
        probs = np.asarray(epoch.probs)
        populations = make_populations(self._tree, self._restore_fixed(probs))
        values = self._assess(populations, graph)
        if self._config.freezing:
            values, populations = self._freeze(probs, populations, values, graph)
        self._history = history.record(self._history, graph, values)
        counts = Counts(
            int(epoch.episodes), self._config.rounds * self._parts.per_round, self._config.updates
        )
        metrics = {name: float(value) for name, value in epoch.metrics.items()}
        metrics["frozen"] = float(self._freezing.mask(self._config.population_size).sum(axis=1).min())
        if self._config.simplex and self._history.done % _EPOCHS_TO_EXPLOIT == 0:
            exploitation = self.exploit_mixtures(np.random.default_rng(key), populations)
            metrics["simplex_gap"] = exploitation.relative_gap
        return [
            response_of(population, values, task.player, counts if index == 0 else NO_WORK, metrics)
            for index, (task, population) in enumerate(zip(tasks, populations, strict=True))
        ]

    def exploit_mixtures(
        self, rng: np.random.Generator, populations: tuple[Population, ...]
    ) -> simplex.Exploitation:
        """Evaluates the network against `MIXTURES` mixtures drawn evenly from the simplex of members."""
        assert self.state is not None, "there is a network after the first epoch"
        mixtures = simplex.draw_mixtures(rng, MIXTURES, self._config.population_size)
        tables = self._condition(self.state.agent, jnp.asarray(np.stack([mixtures, mixtures])))
        return simplex.exploit(self._tree, populations, mixtures, np.asarray(tables))

    def _traced(self, key: jax.Array, state: training.NeuPLState, plan: training.Plan) -> training.Epoch:
        self.traces += 1
        return training.train_epoch(self._parts, key, state, plan)

    def memory(self) -> Memory:
        """Returns the agent, the buffer and what is frozen."""
        if self.state is None:
            return {}
        arrays = pytrees.to_arrays(self.state)
        for start, named in (
            (_FREEZING, freezing.to_arrays(self._freezing)),
            (_HISTORY, history.to_arrays(self._history)),
        ):
            arrays |= {f"{start}{name}": values for name, values in named.items()}
        return arrays

    def remember(self, memory: Memory) -> None:
        """Makes the oracle go on as if it had not stopped.

        Raises:
          ValueError: the memory is of another network or game.
        """
        if not memory:
            return
        example = jax.eval_shape(functools.partial(training.init, self._parts), jax.random.key(0))
        otherwise = f"the network is of another game or population than {self._tree.game_string}."
        self.state = pytrees.from_arrays(example, memory, otherwise)
        self._freezing = freezing.from_arrays(_part(memory, _FREEZING))
        self._history = history.from_arrays(_part(memory, _HISTORY))

    def _assess(self, populations: tuple[Population, ...], graph: np.ndarray) -> Values:
        payoffs = exact_payoffs(self._tree, populations)
        return member_values(self._tree, populations, graph, payoffs)

    def _freeze(
        self, probs: np.ndarray, populations: tuple[Population, ...], values: Values, graph: np.ndarray
    ) -> tuple[Values, tuple[Population, ...]]:
        """Advances freezing, and returns values and populations with the members that are fixed now."""
        legal = self._tree.legal_actions
        greedy = np.eye(self._tree.num_actions)[np.where(legal, probs, -1.0).argmax(axis=2)]
        # Members of the frontier oppose fixed members only, so that all members can be exchanged at once: the
        # values of the frontier do not depend on the others.
        below = self._restore_fixed(greedy)
        candidates = [
            [whole[:, self._tree.infosets_of(player)] for player in range(2)] for whole in (probs, greedy)
        ]
        assessed = [values, self._assess(make_populations(self._tree, below), graph)]
        config = self._config
        self._freezing = freezing.advance(
            self._freezing, assessed, candidates, config.patience, config.enough
        )
        populations = make_populations(self._tree, self._restore_fixed(probs))
        return self._assess(populations, graph), populations

    def _restore_fixed(self, tables: np.ndarray) -> np.ndarray:
        """Returns `[N, I, A]` with the policies of fixed members in their places."""
        tables = np.array(tables, np.float64)
        mask = self._freezing.mask(self._config.population_size)
        for player, own in enumerate(self._freezing.tables):
            rows = self._tree.infosets_of(player)
            tables[mask[player], rows] = own[mask[player]]
        return tables


def _part(memory: Memory, start: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with `start`, by the rest of their names."""
    return {name.removeprefix(start): values for name, values in memory.items() if name.startswith(start)}
