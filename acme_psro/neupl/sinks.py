"""Sinks: the fixed policies of member 0, which never learn, by a name or from files.

A stored policy is of one player (`acme_psro.policies.stored`). The other player's sink is uniform then,
unless its file is named too.

Dimensions: `I` information states over all players, `A` actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acme_psro.games.compiled import CompiledGame
from acme_psro.games.graph import GameGraph
from acme_psro.games.symmetry import find_counterparts
from acme_psro.games.tree import GameTree
from acme_psro.neupl.config import SINKS, NeuPLConfig, find_files
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import Policy, make_policy

# Preferences of the sink "first_actions" for the first legal action over the others, as logits.
_FIRST, _OTHERS = 3.0, -1.0
# Sinks of both players are the same if no probabilities differ by more than this.
_SAME = 1e-6


def settle(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings of a population that name the files of its sink for good.

    The files have absolute names, and their digest stands beside them. Other settings stay as they are.

    Args:
      settings: values by field of `NeuPLConfig`, not checked yet.

    Raises:
      StoredPolicyError: a file holds no policy, or another one than the digest says.
    """
    settled = dict(settings)
    sink = settled.get("sink", SINKS[0])
    given = settled.pop("sink_digest", "")
    # Other values are refused when settings are checked.
    if not isinstance(sink, str) or not (files := find_files(sink)):
        return settled
    found = _digest([stored.read(path) for path in files])
    _check_digest(given, found, sink)
    return settled | {"sink": ",".join(str(path.absolute()) for path in files), "sink_digest": found}


def read_sinks(config: NeuPLConfig, game: str) -> dict[int, StoredPolicy]:
    """Returns the sinks that come from files, by player; empty if the sink has a name.

    Args:
      config: the population.
      game: the game's name, see `acme_psro.games.identity`.

    Raises:
      StoredPolicyError: a file holds no policy of this game, or another one than the run began with, or both
        files are of one player.
    """
    found: dict[int, StoredPolicy] = {}
    for path in config.sink_files:
        policy = stored.read(path)
        player = policy.about["player"]
        if player in found:
            raise StoredPolicyError(f"both files of the sink are of player {player}: name one a player.")
        stored.check_fits(policy, game, player, str(path))
        if player not in (0, 1):
            raise StoredPolicyError(f"{path} is of player {player}: the players are 0 and 1.")
        found[player] = policy
    if config.sink_files:
        _check_digest(config.sink_digest, _digest(list(found.values())), config.sink)
    return found


def make_sink(compiled: CompiledGame, config: NeuPLConfig) -> np.ndarray:
    """Returns the policy `[I, A]` of the sinks, for all players, on a tree or a graph.

    Raises:
      StoredPolicyError: see `read_sinks`.
    """
    if config.sink == "first_actions":
        is_first = np.cumsum(compiled.legal_actions, axis=1) == 1
        preference = np.exp(np.where(is_first, _FIRST, _OTHERS)) * compiled.legal_actions
        return preference / preference.sum(axis=1, keepdims=True)
    table = compiled.uniform_policy()
    for player, policy in read_sinks(config, compiled.game_string).items():
        table[compiled.rows_of(player)] = _make_table(compiled, policy)
    return table


def make_sinks(tree: GameTree, config: NeuPLConfig) -> tuple[Policy, ...]:
    """Returns the players' sinks, with which populations begin."""
    sink = make_sink(tree, config)
    return tuple(make_policy(tree, player, sink[tree.infosets_of(player)]) for player in range(2))


def find_shared(tree: GameTree, sink: np.ndarray) -> np.ndarray | None:
    """Returns `[I]`: player 0's counterpart of each information state; None if players share no members.

    They share them if the game is symmetric and both have the same sink.

    Args:
      tree: the compiled game.
      sink: `[I, A]`, see `make_sink`.
    """
    counterparts = find_counterparts(tree)
    if counterparts is None or np.abs(sink - sink[counterparts]).max() > _SAME:
        return None
    return counterparts


def _make_table(compiled: CompiledGame, policy: StoredPolicy) -> np.ndarray:
    if isinstance(compiled, GameGraph):
        return _make_table_on_graph(compiled, policy)
    assert isinstance(compiled, GameTree), "a compiled game is a tree or a graph"
    if policy.about["kind"] == "table":
        return decoders.table_on_tree(compiled, policy)
    # It imports JAX, which tables do without.
    from acme_psro.policies import as_table

    return as_table.make_table(compiled, policy)


def _make_table_on_graph(graph: GameGraph, policy: StoredPolicy) -> np.ndarray:
    kind, player = policy.about["kind"], policy.about["player"]
    if kind == "uniform":
        return graph.uniform_policy()[graph.rows_of(player)]
    if kind != "graph_table":
        raise StoredPolicyError(
            f"the sink of player {player} is of kind {kind!r}, which may remember more than an observation: "
            "on a graph, take a policy of a run on graphs, of kind 'graph_table'."
        )
    return decoders.table_on_graph(graph, policy)


def _digest(policies: list[StoredPolicy]) -> str:
    return ",".join(stored.digest(policy) for policy in policies)


def _check_digest(expected: str, found: str, sink: str) -> None:
    if expected not in ("", found):
        raise StoredPolicyError(
            f"the sink in {sink} is not the policy whose digest is neupl.sink_digest: restore the file, or "
            "leave out the digest in a new run."
        )
