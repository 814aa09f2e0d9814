"""The oracle of NeuPL with exact best responses: every member becomes one to its mixture, once an epoch.

It is what the network of `acme_psro.neupl.oracle` would be if it learned without error, and the measure for
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.members import make_graph_maker, make_sink
from acme_psro.neupl.oracle import Task, payoffs_of, response_of
from acme_psro.neupl.values import member_values
from acme_psro.oracles.base import NO_WORK, Response
from acme_psro.policies.tabular import Policy, combine, make_policy


def make_oracle(
    tree: GameTree, config: NeuPLConfig
) -> Callable[[np.ndarray, Sequence[Task]], list[Response[Policy]]]:
    """Returns an oracle whose members are exact best responses.

    Args:
      tree: the compiled game, two-player and zero-sum.
      config: the population; settings of networks have no effect.
    """
    sink = make_sink(tree, config.sink)
    make_graph = make_graph_maker(tree, config)

    def respond(key: np.ndarray, tasks: Sequence[Task]) -> list[Response[Policy]]:
        del key
        graph = make_graph(payoffs_of(tasks))
        old = tasks[0].populations
        populations = []
        for player in range(2):
            rows = tree.infosets_of(player)
            plans = np.stack([policy.plan for policy in old[1 - player]])
            mine = old[player][0].plan
            members = [make_policy(tree, player, sink[rows])]
            for row in graph[player, 1:]:
                both = (mine, row @ plans) if player == 0 else (row @ plans, mine)
                best = traverse.best_response(tree, combine(tree, both), player)
                members.append(make_policy(tree, player, best.table[rows]))
            populations.append(tuple(members))
        new = tuple(populations)
        values = member_values(tree, new, graph, exact_payoffs(tree, new))
        return [response_of(new[task.player], values, task.player, NO_WORK, {}) for task in tasks]

    return respond
