"""Best responses by reinforcement learning in games that are compiled to graphs.

A mixture of policies on a graph is no single table, so the opponents of a training are the policies
themselves, one of which is drawn for each game. Exact best responses to them have to remember what they saw,
so that their gains are left to the evaluation of the run (`acme_psro.evaluation.beliefs`). What a response
gains is exact all the same: payoffs follow from one sweep over the graph.

Dimensions: those of `acme_psro.oracles.device.graph_opponents`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.on_graph import returns_against
from acme_psro.meta_game.payoffs import value
from acme_psro.oracles.asking import Results
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.oracles.device.averages import average_policy
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.graph_opponents import Opposition, check_profiles, oppose
from acme_psro.oracles.device.lane_oracle import LaneOracle
from acme_psro.oracles.device.lanes import Lane
from acme_psro.oracles.device.on_policy import RolloutAgent, make_agent_train
from acme_psro.oracles.device.oracle import settle
from acme_psro.oracles.device.trainers import count_work, make_lanes
from acme_psro.oracles.device.training import MakeAgent, OpponentProfiles, Trained
from acme_psro.policies.on_graph import GraphPolicy, make_graph_policy

Task = BestResponseTask[GraphPolicy, np.ndarray]


class GraphOracle(LaneOracle[GraphPolicy]):
    """An oracle of learned best responses on a graph, see `acme_psro.oracles.device.oracle.DeviceOracle`.

    Args:
      graph: the compiled game.
      agent: makes the agent that learns.
      config: the budget of a response. Games are not kept: `games_per_response` must be 0.
      tolerance: a response is kept if it gains more than this over the mixture.
      most_policies: the largest number of policies that a population will have, to which opponents are
        padded, so that nothing is compiled again as populations grow.
      falls_back: True if a response that keeps its probabilities and gains nothing is replaced by its most
        probable actions, if these gain.

    Raises:
      ValueError: the players have too many profiles, or the configuration keeps games, is one of trees, or
        does not fit the agent or the game.
    """

    def __init__(
        self,
        graph: GameGraph,
        agent: MakeAgent | RolloutAgent,
        config: DeviceConfig,
        tolerance: float,
        most_policies: int,
        falls_back: bool = False,
    ) -> None:
        check_profiles(graph, most_policies)
        if config.games_per_response:
            raise ValueError(
                f"games cannot be kept on a graph: set games_per_response to 0, not "
                f"{config.games_per_response}."
            )
        self._graph, self._config, self._tolerance = graph, config, tolerance
        self._most, self.lanes_alone = most_policies, config.lanes_alone
        self._falls_back = falls_back and config.stochastic_responses
        if config.diversity:
            raise ValueError("diversity needs a game that compiles to a tree: set device.diversity to 0.")
        if config.self_play and not isinstance(agent, RolloutAgent):
            raise ValueError("device.self_play needs --agent=ppo or --agent=mmd, which learn in self-play.")
        if config.self_play and graph.num_players != 2:
            raise ValueError(
                f"device.self_play is for two players, and {graph.game_string} has {graph.num_players}: "
                "leave it out."
            )
        self._train = make_agent_train(graph, agent, config)

    def train_lane(self, lane: Lane) -> Trained:
        opposition = Opposition(*lane.material)
        opponents = OpponentProfiles(
            tables=opposition.tables,
            weights=opposition.weights,
            members=jnp.zeros(len(opposition.weights), jnp.int32),
            contexts=jnp.zeros((1, 0)),
            decision_weights=opposition.decision_weights,
            # Of two players the profiles are the other one's policies.
            table=opposition.profiles if self._graph.num_players > 2 else None,
        )
        trained = self._train(jax.random.wrap_key_data(lane.key), lane.player, opponents)
        return trained._replace(state=None)

    def ask(
        self, key: np.ndarray, tasks: Sequence[Task]
    ) -> Generator[Lane, Results, list[Response[GraphPolicy]]]:
        next_key = jax.random.wrap_key_data(jnp.asarray(key))
        responses = [Response[GraphPolicy](None, -math.inf, math.nan) for _ in tasks]
        opposed = [oppose(self._graph, self._config, task, self._most) for task in tasks]
        present = [_present_return(task) for task in tasks]
        seeds = self._config.seeds_per_response
        lanes = [task for task in range(len(tasks)) for _ in range(seeds)]
        material = Opposition(*map(np.stack, zip(*(opposed[task] for task in lanes), strict=True)))
        for _ in range(1 + self._config.max_extensions):
            train_key, next_key = jax.random.split(next_key)
            players = [tasks[task].player for task in lanes]
            trained: Trained = yield make_lanes(train_key, players, tuple(material))
            for lane, task in enumerate(lanes):
                responses[task] = self._improve(tasks[task], present[task], responses[task], trained, lane)
            if self._config.self_play:
                responses = self._add_beside(tasks, responses, trained, lanes)
            # Exact gains of best responses are unknown here, so that only failures are trained again.
            if all(response.policy is not None for response in responses):
                break
        return responses

    def _improve(
        self, task: Task, present: float, response: Response[GraphPolicy], trained: Trained, lane: int
    ) -> Response[GraphPolicy]:
        """Returns the response after one more training, that of a lane: the best snapshot, if it gains."""
        response = dataclasses.replace(response, counts=response.counts + count_work(trained, lane))
        response = self._choose(task, present, response, trained, lane, self._config.stochastic_responses)
        if response.policy is None and self._falls_back:
            response = self._choose(task, present, response, trained, lane, False)
        return response

    def _choose(
        self,
        task: Task,
        present: float,
        response: Response[GraphPolicy],
        trained: Trained,
        lane: int,
        is_stochastic: bool,
    ) -> Response[GraphPolicy]:
        """Returns the better one of a response and the best snapshot of a lane, of one kind."""
        rows = self._graph.rows_of(task.player)
        probs = np.asarray(trained.probs)[lane, :, 0, rows]
        tables = settle(probs, self._graph.legal_actions[rows], is_stochastic)
        policies = tuple(make_graph_policy(self._graph, task.player, table) for table in tables)
        earned = returns_against(self._graph, task.player, policies, task.populations, task.meta_strategy)
        for policy, gain in zip(policies, (earned[task.player] - present).tolist(), strict=True):
            if gain > response.gain:
                metrics = {name: float(values[lane]) for name, values in trained.metrics.items()}
                kept = policy if gain > self._tolerance else None
                response = dataclasses.replace(response, gain=gain, policy=kept, metrics=metrics)
        return response

    def _add_beside(
        self,
        tasks: Sequence[Task],
        responses: Sequence[Response[GraphPolicy]],
        trained: Trained,
        lanes: Sequence[int],
    ) -> list[Response[GraphPolicy]]:
        """Returns the responses with the averages of what learned beside the other players' ones."""
        found: dict[int, tuple[GraphPolicy, ...]] = {}
        for lane, task in enumerate(lanes):
            player = 1 - tasks[task].player
            response, beside = np.moveaxis(np.asarray(trained.probs[lane], np.float64), 1, 0)
            both = [settle(each, self._graph.legal_actions, True) for each in (beside, response)]
            policy = make_graph_policy(self._graph, player, average_policy(self._graph, player, *both))
            found[player] = (*found.get(player, ()), policy)
        return [
            dataclasses.replace(response, others=found[task.player])
            for task, response in zip(tasks, responses, strict=True)
        ]


def _present_return(task: Task) -> float:
    """Returns what the player earns by its own part of the mixture.

    Raises:
      ValueError: the task has no payoffs.
    """
    if task.payoffs is None:
        raise ValueError("best responses on a graph need the payoffs of the populations: give them.")
    return float(value(task.payoffs, task.meta_strategy)[task.player])
