"""The oracle of NeuPL on the device: an epoch of training for all members of both players.

It answers a task for each player with the player's whole population, as `Response.others`. What it has
learned is its memory, which checkpoints keep. An epoch is one lane of a program, in which runs of other seeds
may have lanes of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.device_arrays import make_arrays
from acme_psro.meta_game.base import PolicyT
from acme_psro.neupl import estimation, freezing, history, parts, seats, simplex, training
from acme_psro.neupl.base import MemberGame
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_graph_maker, share_of_learning
from acme_psro.neupl.responses import payoffs_of, response_of
from acme_psro.neupl.sinks import make_sink
from acme_psro.neupl.spreading import SpreadProgram, make_spread
from acme_psro.neupl.values import Assessment
from acme_psro.oracles.asking import Program, Results
from acme_psro.oracles.base import NO_WORK, BestResponseTask, Counts, Memory, Response
from acme_psro.oracles.device.lane_oracle import LaneOracle
from acme_psro.oracles.device.lanes import Lane, find_devices
from acme_psro.oracles.device.oracle import settle
from acme_psro.system import pytrees
from agents.core import AgentCore, Observation

# (example observation `[1, ..]`, number of actions, gradient steps planned) -> the agent.
MakeAgent = Callable[[Observation, int, int], AgentCore]
# Mixtures by which Simplex-NeuPL is evaluated, and epochs between two evaluations, which take long.
MIXTURES = 100
_EPOCHS_TO_EXPLOIT = 10
# Names of arrays in the memory begin with these.
_FREEZING, _HISTORY = "freezing_", history.PREFIX


class NeuPLOracle(LaneOracle[PolicyT]):
    """An oracle that trains all members in one network.

    Args:
      members: the compiled game, two-player and zero-sum, a tree or a graph.
      make_agent: makes the agent that learns, whose policies depend on their contexts.
      config: the population and the budget of an epoch.
      epochs: the number of epochs planned, over which the agent's schedules run.
      is_on_policy: True if the agent learns from the decisions of the newest round alone.

    Attributes:
      traces: how often the training of an epoch was traced, for all runs that share the program.
    """

    carries = True
    traces: int = 0

    def __init__(
        self,
        members: MemberGame[PolicyT],
        make_agent: MakeAgent,
        config: NeuPLConfig,
        epochs: int,
        is_on_policy: bool = False,
    ) -> None:
        compiled = members.compiled
        self._members, self._compiled, self._config = members, compiled, config
        sink = make_sink(compiled, config)
        shared = members.find_shared(sink)
        self._make_graph = make_graph_maker(config, shared is not None)
        game = make_arrays(compiled)
        seen = seats.make_seats(compiled, shared)
        context = jnp.zeros((1, config.context_size))
        example = Observation(game.info_state[:1], game.legal_actions[:1], context)
        core = make_agent(example, compiled.num_actions, epochs * config.updates)
        estimating = None
        if config.payoffs == "estimated":
            estimating = estimation.make_estimating(config, compiled.utility_scale, shared is not None)
        self._parts = parts.make_parts(compiled, game, seen, core, config, estimating, is_on_policy)
        self._condition = jax.jit(lambda agent, rows: training.policies(self._parts, agent, rows)[1])
        # As a lane `[1, ..]`, on the device: it is large, and the next epoch goes on with it.
        self._lane_state: Any = None
        sinks = [sink[compiled.rows_of(player)] for player in range(2)]
        self._freezing = freezing.start(sinks, config.population_size)
        self._history = history.start(config.population_size)

    def train_lane(self, lane: Lane) -> training.Epoch:
        """Returns an epoch from its key, and from the state and the plan that are the lane's material."""
        return self._train(self._parts, lane)

    def make_program(self, runs: int = 1, devices: Sequence[int] | None = None) -> Program:
        """Returns the program that trains lanes; see `LaneOracle.make_program`.

        Several runs are spread over the devices as lanes. The games of a single run are spread over the
        devices that are named; it takes one device if none is.

        Raises:
          ValueError: there is no such device, or games cannot be dealt out evenly.
        """
        if runs > 1 or devices is None or len(devices) < 2:
            return super().make_program(runs, devices)
        spread = make_spread(find_devices(devices), self._config.num_envs)
        return SpreadProgram(functools.partial(self._train, self._parts._replace(spread=spread)), spread)

    def _train(self, own: parts.Parts, lane: Lane) -> training.Epoch:
        self.traces += 1
        state, plan = lane.material
        return training.train_epoch(own, jax.random.wrap_key_data(lane.key), state, plan)

    def ask(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask[PolicyT, np.ndarray]]
    ) -> Generator[Lane, Results, list[Response[PolicyT]]]:
        """Returns a generator of the players' responses, which leaves the training to its caller.

        It yields one lane, and is sent what the program returns for it, see `acme_psro.oracles.asking`.
        """
        init_key, epoch_key = jax.random.split(jax.random.wrap_key_data(jnp.asarray(key)))
        if self._lane_state is None:
            self._lane_state = _as_lane(training.init(self._parts, init_key))
        graph = self._make_graph(payoffs_of(tasks))
        material = self._lane_state, self._make_plan(graph)
        key_data = np.asarray(jax.random.key_data(epoch_key))[None]
        # Both players learn in one lane.
        epoch = yield Lane(key_data, np.zeros(1, np.int32), material)
        self._lane_state = epoch.state
        probs = _alone(epoch.probs)
        populations = self._members.make_populations(self._restore_fixed(probs))
        exact = self._members.assess(populations, graph)
        if self._config.freezing:
            exact, populations = self._freeze(probs, populations, exact, graph)
        self._history = history.record(self._history, graph, exact.values)
        counts = Counts(
            int(_alone(epoch.episodes)), self._config.rounds * self._parts.per_round, self._config.updates
        )
        metrics = {name: float(value) for name, value in _alone(epoch.metrics).items()}
        metrics["frozen"] = float(self._freezing.mask(self._config.population_size).sum(axis=1).min())
        if self._config.simplex and self._history.done % _EPOCHS_TO_EXPLOIT == 0:
            exploitation = self.exploit_mixtures(np.random.default_rng(key), populations)
            if exploitation is not None:
                metrics["simplex_gap"] = exploitation.relative_gap
        payoffs = exact.payoffs
        if epoch.payoffs is not None:
            payoffs = np.asarray(_alone(epoch.payoffs), np.float64)
            metrics["payoff_error"] = float(np.abs(payoffs - exact.payoffs).mean())
        work = [counts, NO_WORK]
        return [
            response_of(population, exact.values, task.player, done, metrics, payoffs)
            for done, task, population in zip(work, tasks, populations, strict=True)
        ]

    def _make_plan(self, graph: np.ndarray) -> parts.Plan:
        """Returns the plan of an epoch as a lane, of NumPy's arrays."""
        fixed = self._freezing.mask(self._config.population_size)
        share = share_of_learning(self._config, graph, fixed)
        tables = np.concatenate(self._freezing.tables, axis=1)
        arrays = graph.astype(np.float32), share.astype(np.float32), fixed, tables.astype(np.float32)
        return parts.Plan(*_as_lane(arrays))

    def exploit_mixtures(
        self, rng: np.random.Generator, populations: tuple[tuple[PolicyT, ...], ...]
    ) -> simplex.Exploitation | None:
        """Evaluates the network against `MIXTURES` mixtures drawn evenly from the simplex of members.

        As other responses to a mixture that is given, it plays its most probable actions. None if exact
        responses take too long, as on graphs.
        """
        assert self._lane_state is not None, "there is a network after the first epoch"
        mixtures = simplex.draw_mixtures(rng, MIXTURES, self._config.population_size)
        agent = _alone(self._lane_state.agent)
        tables = self._condition(agent, jnp.asarray(np.stack([mixtures, mixtures])))
        pure = settle(np.asarray(tables), self._compiled.legal_actions)
        return self._members.exploit(populations, mixtures, pure)

    def memory(self) -> Memory:
        """Returns the agent, the buffer and what is frozen."""
        if self._lane_state is None:
            return {}
        arrays = pytrees.to_arrays(_alone(self._lane_state))
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
        otherwise = f"the network is of another game or population than {self._compiled.game_string}."
        self._lane_state = _as_lane(pytrees.from_arrays(example, memory, otherwise))
        self._freezing = freezing.from_arrays(_part(memory, _FREEZING))
        self._history = history.from_arrays(_part(memory, _HISTORY))

    def _freeze(
        self,
        probs: np.ndarray,
        populations: tuple[tuple[PolicyT, ...], ...],
        exact: Assessment,
        graph: np.ndarray,
    ) -> tuple[Assessment, tuple[tuple[PolicyT, ...], ...]]:
        """Advances freezing, and returns figures and populations with the members that are fixed now."""
        greedy = settle(probs, self._compiled.legal_actions)
        # Members of the frontier oppose fixed members only, so that all members can be exchanged at once: the
        # values of the frontier do not depend on the others.
        below = self._restore_fixed(greedy)
        candidates = [
            [whole[:, self._compiled.rows_of(player)] for player in range(2)] for whole in (probs, greedy)
        ]
        greedy_figures = self._members.assess(self._members.make_populations(below), graph)
        assessed = [exact.values, greedy_figures.values]
        config = self._config
        self._freezing = freezing.advance(
            self._freezing, assessed, candidates, config.patience, config.enough
        )
        populations = self._members.make_populations(self._restore_fixed(probs))
        return self._members.assess(populations, graph), populations

    def _restore_fixed(self, tables: np.ndarray) -> np.ndarray:
        """Returns `[N, I, A]` with the policies of fixed members in their places."""
        tables = np.array(tables, np.float64)
        mask = self._freezing.mask(self._config.population_size)
        for player, own in enumerate(self._freezing.tables):
            rows = self._compiled.rows_of(player)
            tables[mask[player], rows] = own[mask[player]]
        return tables


def _part(memory: Memory, start: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with `start`, by the rest of their names."""
    return {name.removeprefix(start): values for name, values in memory.items() if name.startswith(start)}


def _as_lane(tree: Any) -> Any:
    """Returns nested arrays with an axis `[1, ..]` in front."""
    return jax.tree.map(lambda leaf: leaf[None], tree)


def _alone(lane: Any) -> Any:
    """Returns nested arrays `[1, ..]` without this axis, as arrays of NumPy."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], lane)
