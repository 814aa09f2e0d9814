"""The oracle of NeuPL with exact best responses: every member becomes one to its mixture, once an epoch.

It is what the network of `acme_psro.neupl.oracle` would be if it learned without error, and the measure for
it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.neupl import history
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_graph_maker
from acme_psro.neupl.responses import Task, payoffs_of, response_of
from acme_psro.neupl.sinks import find_shared, make_sink
from acme_psro.neupl.values import assess
from acme_psro.oracles.base import NO_WORK, Memory, Response
from acme_psro.policies.tabular import Policy, Population, combine, make_policy


class ExactNeuPLOracle:
    """An oracle whose members are exact best responses. Its memory is the history of the graph.

    Args:
      tree: the compiled game, two-player and zero-sum.
      config: the population; settings of networks have no effect.
    """

    def __init__(self, tree: GameTree, config: NeuPLConfig) -> None:
        self._tree = tree
        self._sink = make_sink(tree, config)
        self._make_graph = make_graph_maker(config, find_shared(tree, self._sink) is not None)
        self._history = history.start(config.population_size)

    def __call__(self, key: np.ndarray, tasks: Sequence[Task]) -> list[Response[Policy]]:
        del key
        graph = self._make_graph(payoffs_of(tasks))
        old = tasks[0].populations
        new = self._respond(0, old, graph[0]), self._respond(1, old, graph[1])
        payoffs, values = assess(self._tree, new, graph)
        self._history = history.record(self._history, graph, values)
        return [response_of(new[task.player], values, task.player, NO_WORK, {}, payoffs) for task in tasks]

    def memory(self) -> Memory:
        """Returns the history."""
        arrays = history.to_arrays(self._history)
        return {f"{history.PREFIX}{name}": values for name, values in arrays.items()}

    def remember(self, memory: Memory) -> None:
        """Goes on with a history."""
        self._history = history.read_history(memory) or self._history

    def _respond(self, player: int, old: Sequence[Population], rows: np.ndarray) -> Population:
        """Returns a player's sink, and its best responses to the mixtures in `rows` `[N, N]`."""
        tree = self._tree
        infosets = tree.infosets_of(player)
        plans = np.stack([policy.plan for policy in old[1 - player]])
        mine = old[player][0].plan
        members = [make_policy(tree, player, self._sink[infosets])]
        for row in rows[1:]:
            both = (mine, row @ plans) if player == 0 else (row @ plans, mine)
            best = traverse.best_response(tree, combine(tree, both), player)
            members.append(make_policy(tree, player, best.table[infosets]))
        return tuple(members)
