"""Tests of self_play_runs.learners: tables on trees and graphs, and games that they cannot take."""

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.compile_graph import compile_graph
from acme_psro.self_play_runs.config import TABULAR, SelfPlayRunConfig
from acme_psro.self_play_runs.learners import make_learner


def test_a_graph_without_merged_states_is_learned_as_its_tree() -> None:
    config = SelfPlayRunConfig("kuhn_poker", TABULAR)
    tree, graph = compile_game("kuhn_poker", cache=False), compile_graph("kuhn_poker", cache=False)
    one, other = (make_learner(config, each) for each in (tree, graph))
    (after, totals), (same, _) = (each.train(each.init(0), 30) for each in (one, other))
    keys = [f"{player}|{key}" for player in range(2) for key in tree.keys[tree.infosets_of(player)]]
    places = [keys.index(key) if key in keys else None for key in graph.keys]
    if None in places:
        # The graph may describe its states otherwise, so that its rows have another order.
        found = np.sort(one.policy(after), axis=None), np.sort(other.policy(same), axis=None)
    else:
        found = one.policy(after)[places], other.policy(same)
    np.testing.assert_allclose(*found, atol=1e-9)
    assert totals.episodes == 0
    assert totals.metrics["entropy"] > 0


def test_checkpoints_of_other_games_are_refused() -> None:
    config = SelfPlayRunConfig("kuhn_poker", TABULAR)
    kuhn, pennies = (
        make_learner(config, compile_game(name, cache=False)) for name in ("kuhn_poker", "matrix_mp")
    )
    arrays = kuhn.to_arrays(kuhn.init(0))
    np.testing.assert_array_equal(kuhn.from_arrays(arrays).log_probs, kuhn.init(0).log_probs)
    with pytest.raises(ValueError, match="of other networks or another game"):
        pennies.from_arrays(arrays)
    with pytest.raises(ValueError, match="of other networks or another game"):
        kuhn.from_arrays({name: array for name, array in arrays.items() if name != "magnet"})


def test_tables_need_states_that_do_not_come_back() -> None:
    graph = compile_graph("markov_soccer(horizon=4)", 100_000, cache=False)
    config = SelfPlayRunConfig("markov_soccer(horizon=4)", TABULAR)
    with pytest.raises(ValueError, match=r"needs a game whose states do not come back.*another algorithm\.$"):
        make_learner(config, graph)
