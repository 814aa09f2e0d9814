"""Extensive-form double oracle on graphs of merged states, see `acme_psro.psro.xdo`.

A restricted game has the actions that responses take at what their players observe. Its equilibrium is one
policy a player, which looks at observations alone, so that exact evaluation is that of any such policy.
Where the restricted game does not come, a player mixes the actions that are allowed there evenly.
"""

from __future__ import annotations

import math

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.meta_game.on_graph import GraphMetaGame
from acme_psro.oracles.base import BestResponseTask
from acme_psro.policies.meta_strategy import BehaviouralStrategy
from acme_psro.policies.on_graph import GraphPolicy, make_graph_policy
from acme_psro.psro.loop import Loop, PSROState, Question, Solution
from acme_psro.psro.outside import pure_tasks, split_table
from acme_psro.psro.xdo import FIGURES, FIRST_RESPONSE, figures_of, needed_gap, tremble
from acme_psro.restricted_games.game import allowed_actions
from acme_psro.restricted_games.on_graph import count_allowed, restrict
from acme_psro.self_play.restricted import Descent, solve

# Responses keep their probabilities. Actions count that a response takes more often than this: with a
# temperature of 0.05, those that it thinks worse than its best one by no more than about 0.1.
_THRESHOLD = 0.1


def make_loop(
    graph: GameGraph, meta_game: GraphMetaGame, tolerance: float, descent: Descent | None = None
) -> Loop[GraphPolicy, np.ndarray]:
    """Returns the loop of XDO on a graph of a two-player zero-sum game without cycles.

    Args:
      graph: the compiled game.
      meta_game: knows the payoffs of policies.
      tolerance: restricted games are solved no more exactly than to a gap of half of this, in utility units.
      descent: budget of a solution.

    Raises:
      ValueError: it is another game.
    """
    _check_game(graph)

    def solve_populations(question: Question[GraphPolicy, np.ndarray]) -> Solution:
        if question.before is None:
            # The first responses answer uniform play, as in PSRO.
            return Solution(split_table(graph, graph.uniform_policy()), dict.fromkeys(FIGURES, math.nan))
        assert isinstance(question.before, BehaviouralStrategy)
        allowed = allowed_actions(graph, question.populations, first=FIRST_RESPONSE, threshold=_THRESHOLD)
        restricted = restrict(graph, allowed)
        gap = needed_gap(question.responses, tolerance)
        answer = solve(restricted, np.concatenate(question.before.tables), gap, descent)
        table = restricted.expand(answer.table, allowed / allowed.sum(axis=1, keepdims=True))
        figures = figures_of(graph, count_allowed(restricted), answer)
        return Solution(split_table(graph, table), figures)

    def tasks(state: PSROState[GraphPolicy, np.ndarray]) -> list[BestResponseTask[GraphPolicy, np.ndarray]]:
        assert isinstance(state.meta_strategy, BehaviouralStrategy)
        tables = state.meta_strategy.tables
        populations = tuple(
            tuple(make_graph_policy(graph, player, each) for each in (table, tremble(graph, player, table)))
            for player, table in enumerate(tables)
        )
        # What a response gains is measured over its player's own policy.
        return pure_tasks(populations, meta_game.extend(populations, None))

    return Loop(solve_populations, tasks)


def _check_game(graph: GameGraph) -> None:
    """Checks that restricted games of a game can be solved.

    Raises:
      ValueError: it has not two players, is not zero-sum, or a state can come back.
    """
    if graph.num_players == 2 and graph.zero_sum and not graph.is_cyclic:
        return
    raise ValueError(
        "--loop=xdo on graphs is for two-player zero-sum games without states that come back, and "
        f"{graph.game_string} is no such game; use --loop=psro or --loop=jpsro."
    )
